"""The console's I/O: files that are served, records in the store, requests."""
