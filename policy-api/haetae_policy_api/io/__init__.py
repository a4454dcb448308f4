"""Everything of the policy service that does I/O: HTTP, streams, timers."""
