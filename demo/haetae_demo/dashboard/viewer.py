"""Reading who is looking from what the gateway says.

Rules kept: a Passport is verified by its own package before it is read here; plain headers are believed only where
the operator said so. Nobody is anonymous: without an identity there is no page.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from haetae_demo.dashboard.page import Viewer
from haetae_demo.errors import CredentialsInvalid

MAX_GROUPS = 100


def from_passport(subject: str, user: Mapping[str, Any] | None) -> Viewer:
    """The person of a verified Passport; ``user`` is its ``usr``.

    Raises:
        CredentialsInvalid: the Passport is for no person.
    """
    if user is None:
        raise CredentialsInvalid("this tool is for people")
    known = user
    groups = known.get("groups")
    return Viewer(
        subject=subject,
        name=_text(known.get("name")) or _text(known.get("username")) or subject,
        email=_text(known.get("email")),
        groups=tuple(map(str, groups[:MAX_GROUPS])) if isinstance(groups, list) else (),
        source="its Passport, signed by the gateway",
    )


def from_headers(headers: Mapping[str, str]) -> Viewer:
    """The person of ``X-Forwarded-User`` and its companions, percent-encoded where not ASCII.

    Raises:
        CredentialsInvalid: there is nobody.
    """
    subject = unquote(headers.get("X-Forwarded-User", ""))
    if not subject:
        raise CredentialsInvalid("this tool is behind a gateway that says who is looking")
    groups = [unquote(part.strip()) for part in headers.get("X-Forwarded-Groups", "").split(",")]
    return Viewer(
        subject=subject,
        name=unquote(headers.get("X-Forwarded-Preferred-Username", "")) or subject,
        email=unquote(headers.get("X-Forwarded-Email", "")),
        groups=tuple(group for group in groups if group)[:MAX_GROUPS],
        source="headers that the gateway sets",
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
