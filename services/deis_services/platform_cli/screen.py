"""What `up` prints."""

import getpass
import os
import shlex
import shutil
import sys
from pathlib import Path

from deis_services.platform_cli.plan import Plan


def say(text: str) -> None:
    """A line for the person at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """One clear line about what is wrong."""
    sys.stderr.write(f"deis-platform: {text}\n")
    sys.stderr.flush()


def welcome(plan: Plan, version: str, seconds: float, *, first: bool) -> str:
    """Addresses, folders, and what to type next; `first`: nobody can have registered yet."""
    lines = [
        f"Deis Workflow {version} is up ({seconds:.1f} s). Stop it with Ctrl-C.",
        "",
        f"  API    {plan.api_url}",
        f"  apps   http://<app>.{plan.domain}:{plan.http_port}, https on port {plan.https_port}",
        f"  git    {plan.git_url}/<app>.git",
        f"  data   {plan.data}",
        f"  logs   {plan.data / 'logs'}",
        "",
        "Next, in another terminal:",
        "",
        *(f"  {line}" for line in _next(plan, first=first)),
    ]
    if os.geteuid() != 0:
        lines += [
            "",
            f"Applications and builds run as you ({getpass.getuser()}) and can read what you can:"
            " run only code you trust.",
        ]
    return "\n".join(lines)


def _next(plan: Plan, *, first: bool) -> tuple[str, ...]:
    beside = shlex.quote(str(Path(sys.executable).with_name("deis")))
    client = "deis" if shutil.which("deis") else beside
    if not first:
        return (
            f"{client} login {plan.api_url}    # without an account: register",
            f"{client} apps",
            "git push deis main    # in the repository of one",
        )
    return (
        f"{client} register {plan.api_url}",
        f"{client} keys:add ~/.ssh/id_ed25519.pub",
        f"{client} create    # in a folder with a git repository",
        "git push deis main",
    )
