"""The app channel of Haetae and the keys behind it; used by the gateway and by its clients.

Import from the modules: `app_channel` and `client` (the two sides of a request), `content_key` and `body` (encryption),
`digest`, `message_signature` (RFC 9421 in general), `discovery`, `keyring` with `gateway_keys` and `signing_keys`,
`jwk`, `jws` and `errors`. Only `io` touches files; nothing reads a clock.
"""
