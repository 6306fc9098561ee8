// What nginx' own maps do not decide, and the admin socket. The values are described in wire.py.
// Nothing here runs for a plain request: njs costs more than the rest of the routing together.

const BUCKETS = 12;
const side = () => ngx.shared.side;

// ---- requests

function value(r, turn) {
    const exact = r.variables['route' + turn];
    if (exact) {
        return exact;
    }
    const row = wildcard(r.variables.host, 'wild:');
    return row ? row.split(' ')[Number(r.variables['bucket' + turn])] : '';
}

// `*.b.c` before `*.c` (the longest wins), then `label.*`.
function wildcard(host, prefix) {
    const dict = side();
    let rest = host;
    let dot = rest.indexOf('.');
    while (dot >= 0) {
        rest = rest.slice(dot + 1);
        const found = dict.get(prefix + '*.' + rest);
        if (found) {
            return found;
        }
        dot = rest.indexOf('.');
    }
    dot = host.indexOf('.');
    return dot > 0 ? dict.get(prefix + host.slice(0, dot) + '.*') : undefined;
}

function parsed(text) {
    const found = /^([nwea]*)(?::([^:]*):)?([0-9]+|[MUG])$/.exec(text);
    return found && { flags: found[1], app: found[2], target: found[3] };
}

// Why a request does not go to an instance; '' when it does. The order is components.md 1.10.
function verdict(r, text) {
    const site = text ? parsed(text) : null;
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

function kind(r) {
    return verdict(r, value(r, 1)) || 'unknown';
}

function group(port) {
    return 'g' + port.slice(0, -2);
}

function judged(r) {
    const text = value(r, 1);
    if (verdict(r, text) !== '') {
        return '';
    }
    const port = parsed(text).target;
    r.variables.judged_port = port;
    return group(port);
}

function write_target(r) {
    const site = parsed(value(r, 1));
    if (!site) {
        return '';
    }
    return site.flags.includes('w') ? group(site.target) : '127.0.0.1:' + site.target;
}

// The port for another attempt, '' when there must be none: the application got the request and
// doing it twice is not safe, or it got it and did not answer in time.
function another(r, turn, late) {
    const site = parsed(value(r, turn));
    const times = r.variables.upstream_connect_time || '';
    if (!site || !/^[0-9]/.test(site.target) || (late && /[0-9]$/.test(times))) {
        return '';
    }
    const write = /^(POST|PATCH|LOCK)$/.test(r.method) && !site.flags.includes('w');
    return write && /[0-9]/.test(times) ? '' : site.target;
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
    const dict = side();
    return dict.get('pem:' + name) || wildcard(name, 'pem:') || dict.get('pem:*');
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
        if (line[0].includes('*')) {
            put('wild:' + line[0], values[0] === '' ? null : values.join(' '));
        } else if (!route(r, line[0], values)) {
            r.return(507, 'the table of routes is full');
            return;
        }
    }
    r.return(200, 'applied');
}

function spread(prefix, targets) {
    const values = [];
    for (let i = 0; i < BUCKETS; i++) {
        values.push(targets.length ? prefix + targets[i % targets.length] : '');
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

export default {
    kind, judged, write_target, second, third, second_late, third_late, secure_url, pem, apply,
};
