import pytest

from deis_services.logger.parse import wanted

TIME = "2016-10-18T20:29:38+00:00"
WEB = f"{TIME} foo[web.v2.nzf60]: hello"
WORKER = f"{TIME} foo[worker.v2.k1b2c]: worked[web.v2.nzf60]: quoted"
RUN = f"{TIME} foo[run.v2]: ran"
PLATFORM = f"{TIME} deis[controller]: INFO config foo-1234567 updated"
OTHER = "not a line of ours"


@pytest.mark.parametrize(
    ("process_type", "instance", "taken"),
    [
        ("", "", [WEB, WORKER, RUN, PLATFORM, OTHER]),
        ("web", "", [WEB]),
        ("worker", "", [WORKER]),
        ("run", "", [RUN]),
        ("controller", "", []),
        ("", "foo-web-3857462948-nzf60", [WEB]),
        ("", "nzf60", [WEB]),
        ("web", "foo-worker-1-k1b2c", []),
        ("we", "", []),
        (".*", "", []),
    ],
)
def test_lines_are_picked_by_process_and_instance(
    process_type: str, instance: str, taken: list[str]
) -> None:
    only = wanted(process_type, instance)
    lines = [WEB, WORKER, RUN, PLATFORM, OTHER]
    assert [line for line in lines if only.takes(line.encode())] == taken
