"""Ports of the Passport package: fetching keys, and middleware for ASGI and aiohttp services."""
