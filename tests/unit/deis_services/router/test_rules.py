"""Objects of a cluster as entries of the table (components.md 1.2, 1.7, 1.8)."""

import base64
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from deis_platform.kubernetes import Meta
from deis_services.router import rules
from deis_services.router.model import APP, BUILDER_KEY, Route, RouteTable
from deis_services.router.policy import Builder
from deis_services.router.pools import PodPool
from deis_services.router.views import SecretView, ServiceView, SliceView

PREFIX = "router.deis.io/"


def service(
    name: str = "blog", namespace: str = "blog", ports: Any = None, **said: str
) -> ServiceView:
    return msgspec.convert(
        {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-{namespace}-{name}",
                "creationTimestamp": "2026-01-02T03:04:05Z",
                "annotations": {PREFIX + key: text for key, text in said.items()},
            },
            "spec": {"clusterIP": "10.96.1.2", "ports": ports or [{"name": "http", "port": 80}]},
        },
        ServiceView,
    )


def labelled(view: ServiceView, **labels: str) -> ServiceView:
    meta: Meta = msgspec.structs.replace(view.metadata, labels=labels)
    return msgspec.structs.replace(view, metadata=meta)


def piece(*endpoints: dict[str, Any], port: Any = None, kind: str = "IPv4") -> SliceView:
    return msgspec.convert(
        {
            "metadata": {"name": "s", "namespace": "blog"},
            "addressType": kind,
            "ports": [port or {"name": "http", "port": 5000}],
            "endpoints": list(endpoints),
        },
        SliceView,
    )


def route(view: ServiceView, **certificates: str) -> tuple[Route, list[str]]:
    return rules.route_of(view, "deis", certificates)


def test_names_of_applications() -> None:
    blog = service()
    assert rules.app_of(blog) == "blog"
    assert rules.app_of(labelled(blog, app="blog")) == "blog"
    api = service("deis-controller", "deis")
    assert rules.app_of(api) == "deis/deis-controller"
    assert rules.app_of(labelled(service("blog-x"), app="blog")) == "blog#blog-x"
    assert rules.app_of(labelled(api, app="api")) == "deis/api#deis-controller"


words = st.sampled_from(["a", "b", "a-b", "b-a"])
several = st.tuples(words, words, words | st.sampled_from(["a.b", "A_b"]))


@given(several, several)
def test_two_services_never_have_one_name(
    one: tuple[str, str, str], two: tuple[str, str, str]
) -> None:
    first, second = (
        rules.app_of(labelled(service(name, namespace), app=label))
        for name, namespace, label in (one, two)
    )
    assert first != second or one[:2] == two[:2]
    assert APP.fullmatch(first)


def test_a_service_as_a_route() -> None:
    view = service(
        domains="blog,www.blog.org",
        certificates="www.blog.org:front,b.org:absent",
        maintenance="True",
        whitelist="10.0.0.1",
        proxyDomain="other",
        proxyLocations="/x",
    )
    found, problems = route(view, front="f1")
    assert problems == ["certificates: there is no certificate absent"]
    assert found == Route(
        app="blog",
        appuuid="blog",
        hosts=("blog", "www.blog.org"),
        maintenance=True,
        allow=("10.0.0.1/32",),
        certificates={"www.blog.org": "f1"},
        rank="12026-01-02T03:04:05Zuid-blog-blog",
        graft_domain="other",
        graft_paths=("/x",),
    )
    assert rules.certificate_names(view) == {"front", "absent"}


def test_services_of_the_platform_come_first() -> None:
    young = msgspec.structs.replace(
        service("api", "deis").metadata, creation_timestamp="2030-01-01T00:00:00Z"
    )
    own = route(msgspec.structs.replace(service("api", "deis"), metadata=young))[0]
    assert own.rank < route(service())[0].rank


def test_what_keeps_a_service_from_being_served_is_told() -> None:
    assert len(route(service())[1]) == 1
    assert len(route(service(domains="blog", ports=[{"port": 81}]))[1]) == 1


def test_upstreams_are_the_ready_and_staying_endpoints_of_port_80() -> None:
    staying = {"addresses": ["10.0.0.1"], "conditions": {"ready": True}}
    unsaid = {"addresses": ["10.0.0.2"]}
    unready = {"addresses": ["10.0.0.3"], "conditions": {"ready": False}}
    ending = {"addresses": ["10.0.0.4"], "conditions": {"ready": True, "terminating": True}}
    other = piece(staying, port={"name": "metrics", "port": 9})
    sixth = piece({"addresses": ["::1"]}, kind="IPv6")
    found = rules.upstreams_of(service(), [piece(staying, unsaid, unready, ending), other, sixth])
    assert found.addresses == ("10.0.0.1:5000", "10.0.0.2:5000")
    assert found.appuuid == "blog"
    assert rules.upstreams_of(service(ports=[{"port": 81}]), [piece(staying)]).addresses == ()
    nameless = rules.upstreams_of(
        service(ports=[{"port": 80}]), [piece(staying, port={"port": 7000})]
    )
    assert nameless.addresses == ("10.0.0.1:7000",)


def test_an_entry_of_a_service_goes_through_the_table() -> None:
    table = RouteTable("example.com", PodPool(), cluster=True)
    found, _ = route(service(domains="blog"))
    table.put("app.blog", msgspec.json.encode(found))
    up = rules.upstreams_of(service(), [piece({"addresses": ["10.0.0.1"]})])
    table.put("up.blog", msgspec.json.encode(up))
    site = table.site("blog.example.com")
    assert site is not None
    assert site.targets[0].endswith(",10.0.0.1:5000")
    assert not site.tls
    assert table.problems() == []


def test_the_builder() -> None:
    said = {"nginx.connectTimeout": "5s", "nginx.tcpTimeout": "nonsense"}
    found, problems = rules.builder_of(service("deis-builder", "deis", **said))
    assert found == Builder(address="10.96.1.2:2222", connect_ms=5000)
    assert len(problems) == 1
    table = RouteTable("", PodPool(), cluster=True)
    table.put(BUILDER_KEY, msgspec.json.encode(found))
    assert table.builder == found
    headless = msgspec.structs.replace(
        service(), spec=msgspec.structs.replace(service().spec, cluster_ip="None")
    )
    assert rules.builder_of(headless)[0] is None
    assert rules.builder_of(None) == (None, [])


def secret(**data: str) -> SecretView:
    held = {key.replace("_", "."): text for key, text in data.items()}
    return SecretView(metadata=Meta(name="x-cert"), data=held)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_pairs_of_secrets() -> None:
    assert rules.pair_of(secret(tls_crt=b64("c"), tls_key=b64("k"))) == ("c", "k")
    assert rules.pair_of(secret(tls_crt=b64("c"))) is None
    assert rules.pair_of(secret(tls_crt="!", tls_key=b64("k"))) is None
    assert rules.pair_of(secret(tls_crt=b64("é"), tls_key=b64("k"))) == ("é", "k")
    latin = base64.b64encode("é".encode("latin-1")).decode()
    assert rules.pair_of(secret(tls_crt=latin, tls_key=b64("k"))) is None


def test_names_of_certificates() -> None:
    assert rules.certificate_name("certs/front-cert") == "front"
    assert rules.certificate_name("certs/front") == ""


def test_a_fingerprint_tells_certificate_and_key_apart() -> None:
    prints = {rules.fingerprint(pair) for pair in (("a", "b"), ("b", "a"), ("ab", ""), ("a", "c"))}
    assert len(prints) == 4
