"""The route table's decisions (components.md 1.9, DESIGN 7)."""

import itertools
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from deis_bus.routes import AppRoute, Upstreams
from deis_services.router.model import PLATFORM_KEY, TUNING_KEY, Route, RouteTable, Site
from deis_services.router.policy import Profile, Tuning
from deis_services.router.pools import PodPool, PortPool

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


def pods() -> RouteTable:
    """A table as on Kubernetes, where the owner is the namespace."""
    return RouteTable("example.com", PodPool(), cluster=True)


def said(app: str, *hosts: str, owner: str = "", **more: Any) -> Route:
    return Route(app=app, appuuid=owner or app, hosts=hosts or (app,), **more)


def at(app: str, *addresses: str, owner: str = "") -> Upstreams:
    return Upstreams(app=app, appuuid=owner or app, generation=0, addresses=addresses)


def test_the_lower_rank_has_a_host_whoever_comes_first() -> None:
    for order in itertools.permutations("abc"):
        held = pods()
        for rank in order:
            put(held, said(f"app-{rank}", "x.org", rank=rank))
        assert site(held, "x.org").app == "app-a"
        put(held, said("app-b", "x.org", rank="b", maintenance=True))
        assert site(held, "x.org").app == "app-a"
        held.put("app.app-a", None)
        assert site(held, "x.org").app == "app-b"


def test_a_second_claim_keeps_its_place_when_it_is_written_again() -> None:
    held = table()
    put(held, route("one", "x.org"), route("two", "x.org"))
    put(held, route("two", "x.org", "y.org"))
    assert site(held, "x.org").app == "one"


def test_there_is_no_host_of_the_api_on_kubernetes() -> None:
    held = pods()
    put(held, said("deis/deis-controller", "deis", owner="deis"))
    assert held.api == ""
    assert site(held, "deis.example.com").app == "deis/deis-controller"


def test_new_addresses_are_asked_directly_until_they_are_ripe() -> None:
    held = pods()
    put(held, said("one"), at("one", "10.0.0.1:5000"))
    assert site(held, "one.example.com").targets[0].startswith("-,")
    [born] = held.instances.newborn()
    held.touched()
    held.ripen([born])
    assert held.touched() == ["one.example.com"]
    assert site(held, "one.example.com").targets == (born,)
    put(held, at("one", "10.0.0.1:5000", "10.0.0.2:5000"))
    put(held, at("one", "10.0.0.1:5000"))
    assert len(held.instances.newborn()) >= 1
    held.ripen(["17,x,10.0.0.9:1"])


def test_who_loses_an_address_is_written_before_who_gets_it() -> None:
    held = pods()
    put(held, said("old"), said("new"), at("old", "10.0.0.1:80"))
    held.touched()
    put(held, said("new", maintenance=True))
    put(held, at("new", "10.0.0.1:80"))
    touched = held.touched()
    assert touched.index("old.example.com") < touched.index("new.example.com")
    assert site(held, "old.example.com").targets == ()
    assert "was listed by old" in " ".join(held.problems())


def test_services_of_one_namespace_may_share_an_address() -> None:
    held = pods()
    put(held, said("a", owner="ns"), said("b", owner="ns"))
    put(held, at("a", "10.0.0.1:80", owner="ns"), at("b", "10.0.0.1:80", owner="ns"))
    assert len(site(held, "a.example.com").targets) == 1
    assert len(site(held, "b.example.com").targets) == 1
    held.put("up.b", None)
    assert len(site(held, "a.example.com").targets) == 1
    assert held.problems() == []


def test_paths_are_grafted_among_applications_of_one_owner_only() -> None:
    held = pods()
    put(held, said("api", "unused", owner="ns", graft_domain="blog", graft_paths=("/api",)))
    assert held.unmet_grafts() == ["api: no application of its owner has blog.example.com"]
    put(held, said("blog", owner="ns", allow=("10.0.0.0/8",)))
    put(held, said("thief", "other", graft_domain="blog", graft_paths=("/steal",)))
    held.touched()
    put(held, at("api", "10.0.0.1:80", owner="ns"))
    assert "blog.example.com" in held.touched()
    [(path, other)] = site(held, "blog.example.com").grafts
    assert (path, other.app, other.allow) == ("/api", "blog", ("10.0.0.0/8",))
    assert other.targets != site(held, "blog.example.com").targets == ()
    assert held.unmet_grafts() == ["thief: no application of its owner has blog.example.com"]
    held.put("app.api", None)
    assert site(held, "blog.example.com").grafts == ()


def test_the_routers_own_settings_change_hosts_lists_and_redirects() -> None:
    held = pods()
    put(held, said("one"), said("two", "x.org"))
    held.touched()
    tuning = Tuning(domain="new.org", enforce_https=True, default_allow=("1.2.3.4/32",))
    held.put(TUNING_KEY, msgspec.json.encode(tuning))
    assert set(held.touched()) == {"one.example.com", "one.new.org", "x.org"}
    assert held.site("one.example.com") is None
    found = site(held, "one.new.org")
    assert (found.enforce_https, found.allow) == (True, ("1.2.3.4/32",))
    held.put(TUNING_KEY, b"nonsense")
    assert site(held, "one.example.com").allow is None
    assert len(held.problems()) == 1


def test_names_of_the_platform_need_a_certificate_on_kubernetes() -> None:
    held = pods()
    put(held, said("one"))
    assert not site(held, "one.example.com").tls
    held.put(PLATFORM_KEY, b'"f1"')
    assert held.missing() == {"f1"}
    assert not site(held, "one.example.com").tls
    held.touched()
    held.certify("f1", usable=True)
    assert held.touched() == ["one.example.com"]
    assert site(held, "one.example.com").tls
    assert held.platform_certificate() == "f1"
    assert {PLATFORM_KEY, "app.one"} == held.keys()


def test_a_profile_counts_once_nginx_knows_it() -> None:
    held = pods()
    profile = Profile(idle_ms=1000)
    put(held, said("one", profile=profile), said("two"))
    assert site(held, "one.example.com").profile == 0
    held.touched()
    held.know_profiles(held.profiles.wanted())
    assert held.touched() == ["one.example.com"]
    assert site(held, "one.example.com").profile == 1
    put(held, said("one"))
    assert held.profiles.wanted() == {}


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
