"""What starts inside an application's container or folder (components.md 3.5).

Decision: it is one file that is run, never imported by another service: `runner.py`, on the
standard library alone and with `-I -S -E`, so that a start costs some 10 ms, and the same file
serves the local runtime and, later, the image on Kubernetes. Its contract is its argument list.
"""
