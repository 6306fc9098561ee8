"""`python -m deis_cli`."""

from deis_cli.main import main

main()
