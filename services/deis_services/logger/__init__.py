"""The logger: the newest lines of every application in memory (components.md 7.6 to 7.8, DESIGN 9).

Every replica hears every batch of `deis.log.*` and keeps rings of its own; requests go to any one
of them. A replica that was just started therefore tells what it has heard since its start: lines
are not stored and not handed over, as with the original's memory adapter.
"""
