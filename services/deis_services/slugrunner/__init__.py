"""What starts inside an application's container or folder (components.md 3.5).

Decision: it is run, never imported by another service, on the standard library alone and with
`-I -S -E`, so that a start costs some 10 ms. `runner.py` is the one file that the local runtime
starts in a slug's folder; `init.py` is what the stack image starts: it gets the slug first, then
goes on as `runner.py` does. The contract of both is their argument list.
"""
