"""The header that carries a Passport, and every spelling of it that must not come in from outside.

Rules kept: servers that hand headers over as variables (CGI, WSGI) map `-` to `_`, some map every other
character, and case never counts. So `X_Passport`, `x.passport` and `X-PASSPORT` can all become the Passport
of a careless service: all of them are removed on the way in and out, and a service refuses a request that has
more than one.

Not done here: minting and verifying.
"""

from collections.abc import Iterable
from typing import Final, TypeVar

PASSPORT_HEADER: Final = "X-Passport"

_LOWER: Final = PASSPORT_HEADER.lower()
_LENGTH: Final = len(PASSPORT_HEADER)
_Name = TypeVar("_Name", str, bytes)


def is_passport_header(name: str | bytes) -> bool:
    """Whether a server behind us could take the header `name` for the Passport."""
    if len(name) != _LENGTH:
        return False
    text = name if isinstance(name, str) else name.decode("latin-1")
    # Every separator position: ASCII letters and digits keep their place, anything else counts as a hyphen.
    folded = "".join(char if char.isascii() and char.isalnum() else "-" for char in text.lower())
    return folded == _LOWER


def without_passport(headers: Iterable[tuple[_Name, _Name]]) -> list[tuple[_Name, _Name]]:
    """The header lines that are not a Passport in any spelling, in order."""
    return [line for line in headers if not is_passport_header(line[0])]
