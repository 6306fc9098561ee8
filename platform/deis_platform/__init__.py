"""The floor every service stands on."""
