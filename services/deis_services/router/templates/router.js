// What nginx' own maps do not decide, and the admin socket. The values are described in wire.py.
// Nothing here runs for a plain request: njs costs more than the rest of the routing together.

const BUCKETS = 12;
const side = () => ngx.shared.side;

// ---- requests

function value(r, turn) {
    let host = r.variables.host;
    let text = r.variables['route' + turn];
    if (!text) {
        const found = wildcard(host, 'wild:');
        if (!found) {
            return '';
        }
        host = found[0];
        text = found[1].split('\n')[Number(r.variables['bucket' + turn])];
    }
    return text[0] === 'g' ? grafted(r, host, turn) || text : text;
}

// What another application answers below some path; the longest prefixes come first.
function grafted(r, host, turn) {
    const grafts = JSON.parse(side().get('graft:' + host) || '[]');
    const found = grafts.find((graft) => r.uri.startsWith(graft[0]));
    return found && found[1][Number(r.variables['bucket' + turn])];
}

// `*.b.c` before `*.c` (the longest wins), then `label.*`: the pattern, and what stands there.
function wildcard(host, prefix) {
    const dict = side();
    let rest = host;
    let dot = rest.indexOf('.');
    while (dot >= 0) {
        rest = rest.slice(dot + 1);
        const found = dict.get(prefix + '*.' + rest);
        if (found) {
            return ['*.' + rest, found];
        }
        dot = rest.indexOf('.');
    }
    const label = host.slice(0, host.indexOf('.') + 1) + '*';
    const text = label.length > 2 ? dict.get(prefix + label) : undefined;
    return text && [label, text];
}

function parsed(r, text) {
    const found = /^((?:[gnwea]|p[0-9]+)*)(?::([^:]*):)?([0-9-].*|[MUG])$/.exec(text);
    return found && { flags: found[1], app: found[2], target: one(r, found[3]) };
}

// Of several targets the next one: more instances than buckets share a bucket.
function one(r, targets) {
    if (!targets.includes(' ')) {
        return targets;
    }
    const all = targets.split(' ');
    const turn = Number(r.variables.connection) + Number(r.variables.connection_requests);
    return all[turn % all.length];
}

// Why a request does not go to an instance; '' when it does. The order is components.md 1.10.
function verdict(r, site) {
    const tls = r.variables.https;
    if (!site || (tls && site.flags.includes('n'))) {
        return 'unknown';
    }
    if (site.target === 'M') {
        return 'maintenance';
    }
    if (site.target === 'U') {
        return 'down';
    }
    const seen = r.variables.seen_scheme;
    if (site.flags.includes('e') && !tls && seen !== 'https' && seen !== 'wss') {
        return 'secure';
    }
    if (site.flags.includes('a') && !allowed(r, site.app)) {
        return 'denied';
    }
    return site.target === 'G' ? 'api' : '';
}

function allowed(r, app) {
    const bytes = r.rawVariables.binary_remote_addr;
    let bits = bytes.length === 4 ? '4:' : '6:';
    for (let i = 0; i < bytes.length; i++) {
        bits += (256 + bytes[i]).toString(2).slice(1);
    }
    const list = side().get('allow:' + app);
    return list ? list.split(' ').some((prefix) => bits.startsWith(prefix)) : false;
}

// A worker whose configuration was replaced does not know the newest profiles.
function profile(r, site) {
    const found = /p[0-9]+/.exec(site.flags);
    return found && r.variables.profiles.includes(':' + found[0] + ':') ? found[0] : '';
}

function kind(r) {
    const site = parsed(r, value(r, 1));
    return verdict(r, site) || profile(r, site) || 'unknown';
}

// A target is `20017`, `17,ID,10.0.0.5:5000` or, not yet in its group, `-,ID,10.0.0.5:5000`.
function group(target) {
    const comma = target.indexOf(',');
    return target[0] === '-' ? address(target) : 'g' + target.slice(0, comma < 0 ? -2 : comma);
}

function id(target) {
    return target.includes(',') ? target.split(',')[1] : target;
}

function address(target) {
    return target.includes(',') ? target.split(',')[2] : '127.0.0.1:' + target;
}

function judged(r) {
    const site = parsed(r, value(r, 1));
    if (verdict(r, site) !== '' || profile(r, site)) {
        return '';
    }
    r.variables.judged_id = id(site.target);
    return group(site.target);
}

function write(r, site) {
    return /^(POST|PATCH|LOCK)$/.test(r.method) && !site.flags.includes('w');
}

function write_target(r) {
    const site = parsed(r, value(r, 1));
    if (!site) {
        return '';
    }
    return site.flags.includes('w') ? group(site.target) : address(site.target);
}

// Where a request of an application with a profile goes.
function chosen(r) {
    const site = parsed(r, value(r, 1));
    if (!site || write(r, site)) {
        return site ? address(site.target) : '';
    }
    r.variables.judged_id = id(site.target);
    return group(site.target);
}

// The address for another attempt, '' when there must be none: the application got the request and
// doing it twice is not safe, or it got it and did not answer in time. The first instance itself
// is asked where its group did not hold it: then the group stands in place of an address.
function another(r, turn, late) {
    const first = (r.variables.upstream_addr || ':').split(/,| : /)[0];
    const site = parsed(r, value(r, first.includes(':') ? turn : turn - 1));
    const times = r.variables.upstream_connect_time || '';
    if (!site || /^[MUG]/.test(site.target) || (late && /[0-9]$/.test(times))) {
        return '';
    }
    return write(r, site) && /[0-9]/.test(times) ? '' : address(site.target);
}

const second = (r) => another(r, 2, false);
const third = (r) => another(r, 3, false);
const second_late = (r) => another(r, 2, true);
const third_late = (r) => another(r, 3, true);

function secure_url(r) {
    const scheme = r.variables.seen_scheme === 'ws' ? 'wss' : 'https';
    return scheme + '://' + r.variables.host + r.variables.secure_port + r.variables.request_uri;
}

// ---- handshakes

function pem(r) {
    const name = (r.variables.ssl_server_name || '').toLowerCase();
    const exact = side().get('pem:' + name);
    return exact || (wildcard(name, 'pem:') || [])[1] || side().get('pem:*');
}

// ---- the admin socket

function apply(r) {
    const piece = JSON.parse(r.requestText);
    for (const app in piece.allow) {
        side().set('allow:' + app, piece.allow[app]);
    }
    for (const host in piece.pem) {
        put('pem:' + host, piece.pem[host]);
    }
    for (let i = 0; i < piece.lines.length; i++) {
        const line = piece.lines[i];
        const values = spread(line[1], line[2]);
        const grafts = (line[3] || []).map((graft) => [graft[0], spread(graft[1][0], graft[1][1])]);
        put('graft:' + line[0], grafts.length ? JSON.stringify(grafts) : null);
        if (line[0].includes('*')) {
            put('wild:' + line[0], values[0] === '' ? null : values.join('\n'));
        } else if (!route(r, line[0], values)) {
            r.return(507, 'the table of routes is full');
            return;
        }
    }
    r.return(200, 'applied');
}

function spread(prefix, targets) {
    const values = [];
    const count = targets.length;
    for (let i = 0; i < BUCKETS; i++) {
        const some = count > BUCKETS
            ? targets.filter((_, n) => n % BUCKETS === i).join(' ')
            : targets[i % count];
        values.push(count ? prefix + some : '');
    }
    return values;
}

function route(r, host, values) {
    for (let i = 0; i < BUCKETS; i++) {
        r.variables.admin_key = i + ':' + host;
        const before = r.variables.admin_value;
        // An absent key stays absent: nginx-keyval can empty a key but not remove it.
        if (before !== values[i] && (before || values[i])) {
            r.variables.admin_value = values[i];
            if (r.variables.admin_value !== values[i]) {
                return false;
            }
        }
    }
    return true;
}

function put(key, text) {
    if (text) {
        side().set(key, text);
    } else {
        side().delete(key);
    }
}

// ---- the port for health and statistics, and the access log

function here(r) {
    return /^(127\.|::1$)/.test(r.variables.realip_remote_addr);
}

function stats(r) {
    if (!here(r)) {
        r.return(403);
        return;
    }
    r.headersOut['Content-Type'] = 'application/json';
    r.return(200, JSON.stringify({
        nginx: r.variables.nginx_version,
        worker: Number(r.variables.pid),
        connections: Number(r.variables.connection),
        certificates_and_wildcards: side().size(),
    }));
}

// `foo` of `nw:foo#web:…`, for hosts that only a pattern matches.
function app(r) {
    const found = wildcard(r.variables.host, 'wild:');
    return found ? found[1].split(':')[1].split('#')[0] : r.variables.nobody;
}

export default {
    kind, judged, write_target, chosen, second, third, second_late, third_late, secure_url, pem,
    apply, stats, app,
};
