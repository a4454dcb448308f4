"""Access tokens at the gateway: how they were sent, what they are bound to, what they grant."""
