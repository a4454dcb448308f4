"""Any other tool: nothing of the person unless the route says so, then the fields that most proxies use.

Values are percent-encoded UTF-8 (RFC 3986 section 2.1) where they are not printable ASCII; `%` and `,` always are.
"""

from __future__ import annotations

from haetae_edge.exchange import Fields
from haetae_edge.staff.presets.model import Person, Preset, listed, percent


def forwarded(person: Person, name: str) -> Fields:
    """The fields of the `X-Forwarded-User` family; groups with commas between."""
    return [
        (b"x-forwarded-user", percent(name)),
        (b"x-forwarded-preferred-username", percent(name)),
        (b"x-forwarded-email", percent(person.email or "")),
        (b"x-forwarded-groups", listed(person.groups, percent)),
    ]


GENERIC = Preset(name="generic", identity="none", headers=forwarded, assertion=(b"x-passport", b""))
