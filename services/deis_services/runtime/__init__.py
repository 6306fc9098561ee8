"""The local runtime: processes of applications and builds on this machine (DESIGN 6)."""
