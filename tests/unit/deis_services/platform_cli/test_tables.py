from deis_services.platform_cli.tables import table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("A", "B"), [("long", "x"), ("s", "")]) == "A     B\nlong  x\ns"


def test_no_cell_commands_the_terminal() -> None:
    assert table(("A",), [("a\x1b[31m\nb",)]) == "A\na [31m b"
