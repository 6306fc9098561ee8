"""What can be wrong before or while an embedded server starts; each text is one clear line."""


class ServerFailed(Exception):
    """A server did not start, or cannot run here; says what to do about it."""


class MissingProgram(ServerFailed):
    """A program was not found; names the package that brings it and the setting that replaces it."""


class PortTaken(ServerFailed):
    """Another program listens on the port that was chosen for the server."""
