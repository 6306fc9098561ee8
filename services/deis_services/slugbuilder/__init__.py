"""What runs inside a build: source in, slug, cache and result out (components.md 3.1 to 3.4).

It may run as another user with next to no environment, so it imports the standard library and,
for the Procfile only, PyYAML.
"""
