"""Python applications, installed by uv."""
