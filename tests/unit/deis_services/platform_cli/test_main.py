"""The command line of `deis-platform` itself."""

import pytest

from deis_services.main import main


@pytest.mark.parametrize("words", [(), ("up",), ("automation", "add")], ids=" ".join)
def test_help_as_a_word_is_help_as_an_option(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for typed in (["help", *words], [*words, "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(typed)
        assert ended.value.code == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert shown[0].startswith("usage: deis-platform")
