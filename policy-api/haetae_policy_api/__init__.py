"""haetae_policy_api: the service that makes, guards, explains and audits block policies.

`service` is the application layer, shared by routes, console and terminal; `io` holds everything that does I/O.
"""
