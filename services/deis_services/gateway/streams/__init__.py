"""What the gateway serves as streams: logs, one-off commands, build output, events."""
