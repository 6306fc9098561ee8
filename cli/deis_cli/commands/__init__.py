"""The commands: one module per topic, each a thin skin over `deis_cli.core`."""
