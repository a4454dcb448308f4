"""Ports of this package: fetching the keys of token issuers."""
