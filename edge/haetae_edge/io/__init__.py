"""The rim: everything here opens sockets, reads clocks, or starts processes."""
