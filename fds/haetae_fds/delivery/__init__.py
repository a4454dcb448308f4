"""From decisions to policies and back to where the worker stood: the pure half of the worker."""
