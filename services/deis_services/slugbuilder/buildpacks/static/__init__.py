"""Folders of files with a small server."""
