"""Real servers from wheels, as supervised child processes."""
