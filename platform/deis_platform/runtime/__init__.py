"""The runtime port: where applications and builds run."""
