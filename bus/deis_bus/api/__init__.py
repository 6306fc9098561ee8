"""The table of endpoints: each is declared once, and routing, validation, authorization,
OpenAPI and the role matrix are made from it (DESIGN 4)."""
