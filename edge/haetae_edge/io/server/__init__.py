"""The client side: aiohttp connections, bounded in size, time and number."""

from haetae_edge.io.server.connection import ClientConnection
from haetae_edge.io.server.server import GatewayServer

__all__ = ["ClientConnection", "GatewayServer"]
