"""The gateway: thin HTTP in, one request on the bus out (DESIGN 3, 4)."""
