"""The language of the platform: events, subjects, requests and byte streams."""
