"""What `deis-platform` does: the platform on one machine, and the operator's commands."""
