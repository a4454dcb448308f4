"""Pinpoint: takes no identity from headers, so the gateway alone decides who may do what, by path and method.

Its front end opens the WebSocket of the active threads again the moment it closes: a refusal waits a while, so that a
lapsed session is not a storm. It shows the `title` of a 401 in a message.
"""

from __future__ import annotations

from haetae_edge.staff.presets.generic import forwarded
from haetae_edge.staff.presets.model import IdleExempt, Preset

PINPOINT = Preset(
    name="pinpoint",
    identity="none",
    headers=forwarded,
    assertion=(b"x-passport", b""),
    idle_exempt=(IdleExempt(path="/api/agent/activeThread/**"), IdleExempt(path="/api/log/**")),
    api_paths=("/api/**", "/api-public/**"),
    calm_upgrades=True,
)
