"""The structural configuration."""

import pytest
from msgspec.structs import replace

from deis_services.router.policy import Builder, Profile, Structure
from deis_services.router.render import Layout, configuration, covers, groups, steps

LAYOUT = Layout(
    http="127.0.0.1:8080", https="127.0.0.1:8443", api="127.0.0.1:8000", ports=range(20050, 20210)
)


def text(layout: Layout = LAYOUT, *, open_for_requests: bool = True) -> str:
    return configuration(layout, "g-1", open_for_requests=open_for_requests)["nginx.conf"]


def test_every_port_of_the_range_is_in_exactly_one_group_of_at_most_a_hundred() -> None:
    held = groups(range(20050, 20210))
    assert [name for name, _ in held] == ["g200", "g201", "g202"]
    assert [port for _, members in held for port in members] == list(range(20050, 20210))
    assert max(len(members) for _, members in held) <= 100


def test_closed_it_has_no_public_listener() -> None:
    assert "127.0.0.1:8080" not in text(open_for_requests=False)
    assert "unix:admin/control.sock" in text(open_for_requests=False)
    assert text().count("default_server") == 2


def test_every_server_of_a_group_is_drained() -> None:
    members = [row for row in text().splitlines() if "route=" in row]
    assert len(members) == 160
    assert all(row.endswith("max_fails=0 drain;") for row in members)


def test_what_the_router_keeps_of_a_body_is_bounded() -> None:
    assert "client_max_body_size 1073741824;" in text()
    api = text().split("location @api {")[1].split("}")[0]
    assert "proxy_request_buffering off;" in api


def test_the_generation_is_told() -> None:
    assert 'return 200 "g-1"' in text()


def test_no_tls_without_an_address() -> None:
    plain = Layout(http="127.0.0.1:80", api="127.0.0.1:1", ports=range(20000, 20001))
    assert "ssl_certificate" not in text(plain)
    assert plain.secure_port == ""
    assert LAYOUT.secure_port == ":8443"


def test_workers_get_their_own_user_as_root_only() -> None:
    assert "\nuser " not in text()
    named = Layout(http="h:1", api="h:2", ports=range(20000, 20001), user="nobody nogroup")
    assert "\nuser nobody nogroup;" in text(named)


PODS = Layout(
    http="0.0.0.0:8080", https="0.0.0.0:6443", names="127.0.0.1:5300", git="0.0.0.0:2222",
    health="0.0.0.0:9090", public_http=80, public_https=443, structure=Structure(),
)  # fmt: skip


def test_pods_are_told_by_the_name_server() -> None:
    shards = [row for row in text(PODS).splitlines() if ".pool service=http" in row]
    assert len(shards) == 128
    assert all("resolve max_fails=0 drain;" in row for row in shards)
    assert "resolver 127.0.0.1:5300 ipv6=off;" in text(PODS)
    assert "resolver " not in text()
    assert "upstream api" not in text(PODS)


def test_ports_are_those_that_the_world_sees() -> None:
    assert "8080 80;" in text(PODS)
    assert "6443 443;" in text(PODS)
    assert PODS.secure_port == ""
    assert replace(PODS, public_https=8443).secure_port == ":8443"


def test_git_is_taken_once_there_is_a_builder() -> None:
    assert "stream {" not in text(PODS)
    there = replace(PODS, builder=Builder(address="10.96.0.9:2222"))
    assert "proxy_pass 10.96.0.9:2222;" in text(there)
    assert "proxy_timeout 1200000ms;" in text(there)
    assert "stream {" not in text(there, open_for_requests=False)


def test_a_profile_is_a_location_of_its_own() -> None:
    profiled = text(replace(PODS, profiles={3: Profile(connect_ms=7, idle_ms=9, buffering=True)}))
    place = profiled.split("location @p3 {")[1].split("proxy_pass")[0]
    for row in ("proxy_connect_timeout 7ms;", "proxy_read_timeout 9ms;", "proxy_buffering on;"):
        assert row in place
    assert ":p3:" in profiled
    assert "location @p3_second {" in profiled


def test_parameters_of_diffie_hellman_have_a_file_of_their_own() -> None:
    files = configuration(replace(PODS, dhparam="text"), "g", open_for_requests=True)
    [name] = files.keys() - {"nginx.conf", "router.js"}
    assert f"ssl_dhparam {name};" in files["nginx.conf"]
    assert files[name] == "text"


def test_steps_lead_from_one_layout_to_the_other() -> None:
    structure = Structure(body_bytes=5, ssl_ciphers="X")
    wanted = replace(
        PODS,
        structure=structure,
        builder=Builder(address="1.2.3.4:5"),
        profiles={1: Profile(idle_ms=5)},
        dhparam="text",
    )
    held, names = PODS, []
    for name, step in steps(PODS, wanted):
        held = step(held)
        names.append(name)
    assert held == wanted
    assert names[:4] == ["builder", "dhparam", "body_bytes", "ssl_ciphers"]


def test_profiles_too_many_need_no_other_configuration() -> None:
    more = replace(PODS, profiles={1: Profile(idle_ms=5), 2: Profile(idle_ms=6)})
    fewer = replace(PODS, profiles={2: Profile(idle_ms=6)})
    assert covers(more, fewer)
    assert not covers(fewer, more)
    assert not covers(replace(more, git=""), fewer)


@pytest.mark.parametrize("name", Structure.__struct_fields__)
def test_every_setting_of_the_router_reaches_the_configuration(name: str) -> None:
    others = {
        "fallback_app": "x", "fallback_ip": "1.2.3.4", "gzip_http": "1.0", "gzip_vary": "off",
        "gzip_proxied": ("auth",), "gzip_types": ("a/b",), "real_ip": ("1.2.3.4/32",),
        "error_level": "crit", "referrer": "origin", "ssl_protocols": ("TLSv1.3",),
        "ssl_ciphers": "ABC", "hsts": "max-age=1", "connections": 77, "ssl_session_ms": 5000,
    }  # fmt: skip
    base = replace(PODS, access_log="/dev/fd/9")
    value = getattr(Structure(), name)
    if name in others:
        value = others[name]
    elif isinstance(value, bool):
        value = not value
    else:
        value = (value or 0) + 3
    changed = replace(base, structure=replace(Structure(), **{name: value}))
    assert text(changed) != text(base)
