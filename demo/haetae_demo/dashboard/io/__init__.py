"""The tools' sockets."""
