"""The haetae command: the local stack, and tools around the gateway."""
