"""The provider's sockets, pages and timers."""
