"""The manager: which components run, against those that should (components.md 8, DESIGN 3)."""
