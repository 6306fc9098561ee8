"""The builder: git over SSH, and the workers that turn pushes into builds (DESIGN 5)."""
