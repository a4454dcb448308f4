"""Sockets and files of the demo world."""
