"""The route table's decisions (components.md 1.9, DESIGN 7)."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.routes import AppRoute, Upstreams
from deis_services.router.model import RouteTable, Site
from deis_services.router.pools import PortPool

PORTS = range(20000, 20200)


def table(domain: str = "example.com") -> RouteTable:
    return RouteTable(domain, PortPool(PORTS))


def put(held: RouteTable, *values: AppRoute | Upstreams) -> None:
    for value in values:
        kind = "app" if isinstance(value, AppRoute) else "up"
        held.put(f"{kind}.{value.app}", msgspec.json.encode(value))


def route(app: str, *hosts: str, **policy: object) -> AppRoute:
    return AppRoute(app=app, appuuid=f"{app}-1", hosts=hosts or (app,), **policy)  # type: ignore[arg-type]


def up(app: str, *ports: int, uuid: str = "") -> Upstreams:
    addresses = tuple(f"127.0.0.1:{port}" for port in ports)
    return Upstreams(app=app, appuuid=uuid or f"{app}-1", generation=1, addresses=addresses)


def site(held: RouteTable, host: str) -> Site:
    found = held.site(host)
    assert found is not None
    return found


def test_names_are_completed_with_the_domain() -> None:
    held = table()
    put(held, route("blog", "blog", "WWW.Blog.org", "*.blog.org"))
    assert set(held.hosts()) == {"blog.example.com", "www.blog.org", "*.blog.org"}


def test_without_a_domain_a_label_takes_anything_behind_it() -> None:
    held = table("")
    put(held, route("blog"))
    assert held.hosts() == ["blog.*"]
    assert held.api == "deis.*"


def test_upstreams_of_another_identity_do_not_count() -> None:
    held = table()
    put(held, route("blog"), up("blog", 20001, uuid="old"))
    assert site(held, "blog.example.com").targets == ()
    put(held, up("blog", 20002))
    assert site(held, "blog.example.com").targets == ("20002",)


def test_the_first_application_keeps_a_host_until_it_lets_go() -> None:
    held = table()
    put(held, route("one", "x.org"), route("two", "x.org"))
    assert site(held, "x.org").app == "one"
    assert "held by one" in " ".join(held.problems())
    put(held, route("one", "y.org"))
    assert site(held, "x.org").app == "two"
    held.put("app.two", None)
    assert held.site("x.org") is None
    assert held.hosts() == ["y.org"]


def test_a_port_belongs_to_the_last_who_listed_it() -> None:
    held = table()
    put(held, route("one"), route("two"), up("one", 20001, 20002), up("two", 20002))
    held.touched()
    assert site(held, "one.example.com").targets == ("20001",)
    assert site(held, "two.example.com").targets == ("20002",)
    put(held, up("one", 20002))
    assert set(held.touched()) == {"one.example.com", "two.example.com"}
    assert site(held, "two.example.com").targets == ()


def test_only_changed_hosts_are_touched() -> None:
    held = table()
    put(held, route("one"), route("two"), up("one", 20001))
    held.touched()
    put(held, up("one", 20002))
    assert held.touched() == ["one.example.com"]
    assert held.touched() == []


def test_addresses_outside_the_pool_are_left_out_and_told() -> None:
    held = table()
    bad = ("10.0.0.1:20001", "127.0.0.1:22", "127.0.0.1:x", "127.0.0.1:20003")
    put(held, route("one"))
    put(held, Upstreams(app="one", appuuid="one-1", generation=1, addresses=bad))
    assert site(held, "one.example.com").targets == ("20003",)
    assert "10.0.0.1:20001" in " ".join(held.problems())


def test_nobody_takes_the_apis_host() -> None:
    held = table()
    put(held, route("thief", "deis", "deis.example.com"))
    assert held.hosts() == []
    assert len(held.problems()) == 2


def test_names_that_are_none_are_left_out() -> None:
    held = table()
    bad = ("a b", "$host", "x;y", "-a", "*", "*.", "a..b", "x.*", "a" * 300 + ".org", "ok.org")
    put(held, route("one", *bad))
    assert held.hosts() == ["ok.org"]


def test_not_routable_is_nobodys() -> None:
    held = table()
    put(held, route("one", routable=False), up("one", 20001))
    assert held.site("one.example.com") is None


def test_an_entry_under_another_name_is_refused() -> None:
    held = table()
    held.put("app.one", msgspec.json.encode(route("two")))
    held.put("up.one", b"[")
    held.put("other.one", b"[")
    assert held.keys() == set()
    assert len(held.problems()) == 2


def test_a_name_of_its_own_answers_over_tls_only_with_a_certificate_of_its_own() -> None:
    held = table()
    put(held, route("one", "one", "x.org", certificates={"x.org": "f1"}))
    assert site(held, "one.example.com").tls
    assert not site(held, "x.org").tls
    assert held.missing() == {"f1"}
    held.touched()
    held.certify("f1", usable=True)
    assert site(held, "x.org").fingerprint == "f1"
    assert site(held, "x.org").tls
    assert "x.org" in held.touched()
    assert held.missing() == set()
    held.certify("f1", usable=False)
    assert held.missing() == {"f1"}


def test_a_certificate_that_no_route_names_any_more_is_not_missing() -> None:
    held = table()
    both = {"x.org": "f1", "y.org": "f2"}
    put(held, route("one", "x.org", "y.org", certificates=both))
    put(held, route("two", "z.org", certificates={"z.org": "f2"}))
    put(held, route("one", "x.org", "y.org", certificates={"x.org": "f3"}))
    assert held.missing() == {"f2", "f3"}
    held.put("app.one", None)
    held.put("app.two", None)
    assert held.missing() == set()


names = st.sampled_from(["one", "two", "three"])
changes = st.lists(
    st.one_of(
        st.builds(
            lambda app, hosts: ("app", app, tuple(hosts)),
            names,
            st.lists(st.sampled_from(["a.org", "b.org", "c"]), max_size=3),
        ),
        st.builds(
            lambda app, ports: ("up", app, tuple(ports)),
            names,
            st.lists(st.integers(20000, 20004), max_size=3),
        ),
        st.builds(lambda app, kind: (kind, app, None), names, st.sampled_from(["app", "up"])),
    ),
    max_size=30,
)


@given(changes)
def test_no_port_serves_two_applications_and_the_touched_tell_every_change(
    steps: list[tuple[str, str, tuple[object, ...] | None]],
) -> None:
    held = table()
    shown: dict[str, Site | None] = {}
    for kind, app, value in steps:
        if value is None:
            held.put(f"{kind}.{app}", None)
        elif kind == "app":
            put(held, route(app, *map(str, value)) if value else route(app, "z"))
        else:
            put(held, up(app, *(int(str(port)) for port in value)))
        for host in held.touched():
            shown[host] = held.site(host)
        owners: dict[str, str] = {}
        for host in {*held.hosts(), *shown}:
            assert shown.get(host) == held.site(host)
            now = held.site(host)
            for port in now.targets if now else ():
                assert owners.setdefault(port, now.app if now else "") == (now and now.app)
