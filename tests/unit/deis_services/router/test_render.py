"""The structural configuration."""

from deis_services.router.render import Layout, configuration, groups

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
