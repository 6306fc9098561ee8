"""Rules of the test node that need no node."""
