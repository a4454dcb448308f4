"""The worker's I/O: streams of events in, policies out, leases and checkpoints."""
