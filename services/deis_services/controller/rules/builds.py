"""The body of a new build (api.md 7)."""

from collections.abc import Mapping
from typing import Any

from deis_services.controller.rules.fields import Form, too_long
from deis_services.controller.rules.process_types import procfile_errors

SHA_LENGTH = 40
IMAGE_LENGTH = 4096
TEXT_LENGTH = 64 * 1024
"""Characters of a Dockerfile, and of a Procfile as JSON: builds are listed by the hundred."""


def validate(body: Mapping[str, Any]) -> dict[str, Any]:
    """`image`, `sha`, `procfile` and `dockerfile` of a build; raises Invalid."""
    form = Form(body)
    image = form.text("image", required=True, limit=IMAGE_LENGTH)
    sha = form.text("sha", blank=True, limit=SHA_LENGTH)
    dockerfile = form.text("dockerfile", blank=True, limit=TEXT_LENGTH)
    procfile = form.mapping("procfile")
    wrong = procfile_errors(procfile)
    if len(str(procfile)) > TEXT_LENGTH:
        wrong = [too_long(TEXT_LENGTH)]
    if wrong:
        form.wrong("procfile", *wrong)
    form.done()
    return {"image": image, "sha": sha, "procfile": procfile, "dockerfile": dockerfile}
