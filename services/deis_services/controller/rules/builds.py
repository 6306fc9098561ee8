"""The body of a new build (api.md 7)."""

from collections.abc import Mapping
from typing import Any

from deis_services.controller.rules.fields import Form
from deis_services.controller.rules.process_types import procfile_errors

SHA_LENGTH = 40


def validate(body: Mapping[str, Any]) -> dict[str, Any]:
    """`image`, `sha`, `procfile` and `dockerfile` of a build; raises Invalid."""
    form = Form(body)
    image = form.text("image", required=True)
    sha = form.text("sha", blank=True, limit=SHA_LENGTH)
    dockerfile = form.text("dockerfile", blank=True)
    procfile = form.mapping("procfile")
    wrong = procfile_errors(procfile)
    if wrong:
        form.wrong("procfile", *wrong)
    form.done()
    return {"image": image, "sha": sha, "procfile": procfile, "dockerfile": dockerfile}
