"""Which pods count, and what names of files say."""

import msgspec
import pytest

from deis_services.shipper.model import APP_UUID, Pod, app_pod, is_container, is_plain, log_file
from tests.behaviour.kubelet_logs import BLOG

LABELS = {"app": "blog", "heritage": "deis", "type": "web", "version": "v3"}
NAME = "blog-web-1234567890-abcde"


def judged(
    labels: dict[str, str],
    annotations: dict[str, str] | None = None,
    *,
    namespace: str = "blog",
    owner: str = "u1",
) -> Pod | None:
    """The blog's pod, or something like it."""
    return app_pod(namespace, NAME, BLOG.uid, labels, annotations or {}, owner)


def test_a_pod_with_labels_in_a_namespace_with_an_owner_is_an_applications() -> None:
    assert judged(LABELS) == BLOG
    assert judged(LABELS, {APP_UUID: "u1", "other": "x"}) == BLOG
    assert BLOG.folder == f"blog_{NAME}_{BLOG.uid}"
    assert BLOG.source == "blog[web.v3.abcde]"
    run = app_pod("blog", "blog-run-abcde", "1-1", LABELS | {"type": "run"}, {}, "u1")
    assert run is not None
    assert run.source == "blog[run.v3]"


@pytest.mark.parametrize(
    "labels",
    [
        {},
        *({name: value for name, value in LABELS.items() if name != missing} for missing in LABELS),
        LABELS | {"heritage": "other"},
        LABELS | {"app": "shop"},
        LABELS | {"version": "3"},
        LABELS | {"version": "v1234567890"},
        LABELS | {"type": "a b"},
        LABELS | {"type": "x]: forged"},
    ],
)
def test_other_labels_make_no_pod_of_an_application(labels: dict[str, str]) -> None:
    assert judged(labels) is None


def test_a_namespace_without_an_owner_or_a_pod_that_claims_another_counts_nothing() -> None:
    assert judged(LABELS, owner="") is None
    assert judged(LABELS, {APP_UUID: "u2"}) is None
    assert judged(LABELS, {APP_UUID: "u1"}, owner="u2") is None
    assert judged(LABELS, owner="u 1") is None
    assert judged(LABELS, namespace="shop") is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("namespace", ".."),
        ("namespace", "a/b"),
        ("name", "../../etc"),
        ("name", ""),
        ("name", "a\0b"),
        ("uid", "../x"),
        ("uid", ""),
        ("app", "a.b"),
        ("app", "*"),
        ("appuuid", "x\r\ny: z"),
        ("type", ""),
    ],
)
def test_names_that_would_lead_elsewhere_are_refused(field: str, value: str) -> None:
    assert is_plain(BLOG)
    assert not is_plain(msgspec.structs.replace(BLOG, **{field: value}))


def test_containers_have_plain_names() -> None:
    assert is_container("blog-web")
    assert not any(map(is_container, ("", ".", "..", "a/b", "Web", "-a", "a" * 64)))


def test_files_are_in_the_order_in_which_they_were_written() -> None:
    names = [
        "0.log.20260131-000001.gz",
        "0.log.20260131-000002",
        "0.log",
        "2.log.20260131-000000",
        "2.log",
        "10.log",
    ]
    found = [log_file(name) for name in names]
    assert [file.name for file in sorted(file for file in found if file)] == names


@pytest.mark.parametrize(
    "name", ["0.log.tmp", "x.log", "0.log.1", "0.logs", "0.log\n", " 0.log", ""]
)
def test_other_names_are_no_log_files(name: str) -> None:
    assert log_file(name) is None
