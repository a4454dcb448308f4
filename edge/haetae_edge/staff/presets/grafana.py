"""Grafana: `auth.proxy` reads `X-WEBAUTH-*`, `auth.jwt` a signed assertion.

`headers_encoded = true` is needed for names beyond ASCII (quoted-printable). `X-WEBAUTH-GROUPS` is always sent: Grafana
takes somebody out of all teams when it is empty, and leaves them in when it is missing.
"""

from __future__ import annotations

from haetae_edge.exchange import Fields
from haetae_edge.staff.presets.model import IdleExempt, Person, Preset, listed, quoted_printable


def _headers(person: Person, name: str) -> Fields:
    return [
        (b"x-webauth-user", quoted_printable(name)),
        (b"x-webauth-name", quoted_printable(person.name or name)),
        (b"x-webauth-email", quoted_printable(person.email or "")),
        (b"x-webauth-groups", listed(person.groups, quoted_printable)),
    ]


GRAFANA = Preset(
    name="grafana",
    identity="headers",
    headers=_headers,
    assertion=(b"x-jwt-assertion", b""),
    idle_exempt=(
        IdleExempt(path="/api/live/**"),
        IdleExempt(path="/api/frontend-metrics"),
        IdleExempt(path="/api/user/auth-tokens/rotate"),
        IdleExempt(path="/api/prometheus/grafana/api/v1/rules"),
    ),
    api_paths=("/api/**", "/apis/**", "/avatar/**"),
    no_return=("/login", "/logout"),
)
