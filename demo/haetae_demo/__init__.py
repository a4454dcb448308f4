"""The world around the gateway, for demonstrations and end-to-end tests."""
