"""`deis-platform doctor`: what is wrong, how one sees it, and what to type."""

import argparse

import msgspec

from deis_bus.contracts.components import Finding
from deis_services.platform_cli.cluster_rules import notes
from deis_services.platform_cli.commands import show
from deis_services.platform_cli.evidence import collect
from deis_services.platform_cli.reach import Reach
from deis_services.platform_cli.rules import findings
from deis_services.platform_cli.tables import table

HEAD = ("COMPONENT", "PROBLEM", "EVIDENCE", "TYPE")


async def doctor(found: Reach, asked: argparse.Namespace) -> int:
    """Look at everything; 1 when something was found."""
    evidence = await collect(found)
    what = findings(evidence)
    show(asked, [msgspec.to_builtins(finding) for finding in what], written(what, notes(evidence)))
    return 1 if what else 0


def written(what: list[Finding], known: list[str]) -> str:
    """The table, or one line when all is well; then what is no fault."""
    rows = [(each.component, each.problem, each.evidence, each.command) for each in what]
    text = table(HEAD, rows) if rows else "Everything is as it should be."
    return "\n\n".join([text, *known])
