"""The one error of a build that the person who pushed should read."""


class BuildError(Exception):
    """The build ends here; the text is the last line of its output, `code` its exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code
