"""One filter per file; `registry.py` lists them by the names route files use."""
