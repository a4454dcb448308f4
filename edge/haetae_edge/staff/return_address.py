"""Where a browser may be sent back to: a path of the same origin, and nothing that a browser could read otherwise.

Browsers take `//host`, `/\\host` and paths with tabs or line breaks in them for other hosts (URL standard, section
4.4), so only printable ASCII without a backslash passes, and the second character is no slash. What does not pass
becomes `/`: a sign-in is not lost over it. Our own endpoints are no destination, for that would be a loop.
"""

from __future__ import annotations

import re
from typing import Final

from haetae_edge.errors import Refusal
from haetae_edge.target import parse_target

PREFIX: Final = "/.haetae/"
START: Final = "/"
_MAX_CHARS: Final = 2000
_PLAIN = re.compile(r"/(?![/\\])[\x21-\x22\x24-\x5b\x5d-\x7e]*")


def safe_return(unverified: str | None) -> str:
    """The path and query to go back to, or `/`."""
    if unverified is None or len(unverified) > _MAX_CHARS or not _PLAIN.fullmatch(unverified):
        return START
    try:
        path = parse_target(unverified).path
    except Refusal:
        return START
    return START if (path + "/").startswith(PREFIX) else unverified
