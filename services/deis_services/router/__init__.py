"""The router: nginx whose routes are data (DESIGN 7, platform/decisions/0010)."""
