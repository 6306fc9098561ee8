"""`deis`: the command-line client. Speaks HTTP only; nothing heavy is imported at the top."""

VERSION = "2.23.0"
"""Version of the client, as `deis version` prints it with a `v`."""
API_VERSION = "2.3"
"""Version of the API it was made for (cli.md 3.3)."""
