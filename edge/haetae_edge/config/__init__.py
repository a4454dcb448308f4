"""Reading a gateway's configuration: strict YAML, placeholders, typed values, routes."""
