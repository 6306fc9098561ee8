"""The `deis` client."""
