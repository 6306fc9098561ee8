"""Commands and files out of pages, which tests on a cluster run."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from integration.kubernetes import reader
from integration.kubernetes.pages import DOCS, Command, page, read

PAGES = sorted(DOCS.glob("kubernetes*.md"))
SCHEMA = DOCS.parent / "charts" / "workflow" / "values.schema.json"

TEXT = """\
# Title

* a list
  that goes on:

```sh
kubectl -n deis get pods \\
    --watch=false   # a comment
deis keys:add 'a # b'

kubectl get secret -o yaml > copy.yaml
```

```yaml
# values.yaml
global: {storage: s3}
```

```console
$ kubectl get \\
pods
NAME    AGE
…
blog-…  …

$ kubectl version
```
"""


def test_commands_in_the_page_s_order() -> None:
    found = read(TEXT)
    assert [(command.text, command.shown) for command in found.commands] == [
        ("kubectl -n deis get pods --watch=false", None),
        ("deis keys:add 'a # b'", None),
        ("kubectl get secret -o yaml > copy.yaml", None),
        ("kubectl get pods", ("NAME    AGE", "…", "blog-…  …")),
        ("kubectl version", ()),
    ]
    assert found.files == {"values.yaml": "global: {storage: s3}\n"}


def test_words_and_the_file_that_takes_the_output() -> None:
    command = Command("kubectl get 'a b' > copy.yaml")
    assert command.words() == ["kubectl", "get", "a b"]
    assert command.output() == "copy.yaml"
    assert Command("kubectl get pods").output() == ""


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        ("NAME AGE\nblog-1 3s\n", True),
        ("NAME       AGE\n\nother 1s\nanother 2s\nblog-1   3s", True),
        ("NAME AGE\n", False),
        ("NAME AGE\nblog- 3s\n", False),
        ("NAME AGE\nblog-1 3s\nblog-2 3s more\n", False),
    ],
)
def test_what_is_shown_is_what_is_printed(said: str, fits: bool) -> None:
    assert Command("x", ("NAME    AGE", "…", "blog-…  …")).prints(said) == fits


@pytest.mark.parametrize(
    "text",
    [
        "    kubectl get pods",
        "* a list\n  ```sh\n  kubectl get pods\n  ```",
        "```\nkubectl get pods\n```",
        "```yaml\nglobal: {}\n```",
        "```console\nkubectl get pods\n```",
        "```sh\nkubectl get pods",
        "```sh\nkubectl get pods | wc -l\n```",
        "```sh\nkubectl get pods && helm list\n```",
        '```sh\nkubectl get "$(whoami)"\n```',
    ],
)
def test_a_block_that_would_stay_untried_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^line [1-3]: "):
        read(text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_can_be_read(path: Path) -> None:
    assert page(path.name).commands or path.name == "kubernetes-values.md"


def test_values_of_the_pages_fit_the_chart() -> None:
    files = [text for path in PAGES for text in page(path.name).files.values()]
    assert files
    for text in files:
        jsonschema.validate(yaml.safe_load(text), json.loads(SCHEMA.read_text()))


def test_what_is_told_of_commands_is_told_of_commands_that_are_there() -> None:
    typed = {command.text for path in PAGES for command in page(path.name).commands}
    assert {*reader.NOT_TYPED, *reader.ANSWERS} - typed == set()
