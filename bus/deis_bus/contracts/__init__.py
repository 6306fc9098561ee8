"""What services ask of each other: one module per service that answers."""
