"""Staff who sign in with a browser: what the gateway decides, answers and tells the tools behind it."""
