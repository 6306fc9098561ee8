"""The AsyncAPI 3 document of the events, made from their registry (DESIGN 4).

`python -m deis_bus.asyncapi` writes it; it is checked in as `docs/asyncapi.json`.
"""
