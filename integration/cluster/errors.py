"""What can go wrong with the test node."""


class ClusterError(Exception):
    """The node cannot be had; the text says why and what to do."""
