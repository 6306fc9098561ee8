"""A real Kubernetes node for the tests, on a bare machine.

`python -m integration.cluster up|down|status`, and `running_node()` of node.py for tests. The
whole node lives in a network namespace of its own that has no way out of this machine, and
everything it writes lies in one folder (layout.py).
"""
