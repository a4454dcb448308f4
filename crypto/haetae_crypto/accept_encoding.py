"""Whether `Accept-Encoding` (RFC 9110 section 12.5.3) names a content coding, as section 2 of the app channel asks.

Rules kept: the coding must be listed by its name; `*` does not count, and a weight of zero refuses. A field that is too
long or malformed around the name lists nothing: the answer then goes out plain, or the route refuses that.

Not done here: choosing among several codings.
"""

import re
from collections.abc import Sequence
from typing import Final

from haetae_crypto.body import CODING

MAX_FIELD_CHARS: Final = 1024
_MEMBER = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?"
)


def lists_coding(lines: Sequence[str], *, coding: str = CODING) -> bool:
    """Whether the field lines list `coding` (lower case) with a weight above zero."""
    if sum(map(len, lines)) > MAX_FIELD_CHARS:
        return False
    for member in ",".join(lines).split(","):
        found = _MEMBER.fullmatch(member)
        if found is not None and found[1].lower() == coding:
            return found[2] is None or float(found[2]) > 0
    return False
