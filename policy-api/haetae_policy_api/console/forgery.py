"""Changes come from the console's own pages: a token of the page beside the browser's own word about the origin.

Rules kept: `Origin` must be there and name this console; `Sec-Fetch-Site` may not say anything else; the token belongs
to one person and ends after a day. The console sets no cookie that means anything, so there is none to steal or fix.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from haetae_policy_api.errors import MediaTypeUnsupported, NotAllowed
from haetae_policy_api.faults import said

FORM: Final = "application/x-www-form-urlencoded"
_HALF_DAY_MS: Final = 43_200_000


def page_token(key: bytes, name: str, *, now_ms: int) -> str:
    """Return the token of a page for the person `name`, good for 12 to 24 hours."""
    return _sign(key, name, now_ms // _HALF_DAY_MS)


def check_token(key: bytes, name: str, unverified_token: str, *, now_ms: int) -> None:
    """Raise NotAllowed unless the token is of a page this person was given within a day."""
    period = now_ms // _HALF_DAY_MS
    good = [_sign(key, name, at) for at in (period, period - 1)]
    given = unverified_token.encode("utf-8", "replace")
    fits = [hmac.compare_digest(given, token.encode()) for token in good]  # both, whichever fits
    if True not in fits:
        raise NotAllowed(said("page_old"))


def check_origin(headers: Mapping[str, str], *, origins: frozenset[str]) -> None:
    """Refuse what another site's page may have sent; `headers` have lower-case names.

    Raises NotAllowed, MediaTypeUnsupported.
    """
    if headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise MediaTypeUnsupported(said("not_a_form", kind=FORM))
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise NotAllowed(said("other_site"))
    origin = headers.get("origin")
    if origin is None:
        raise NotAllowed(said("no_origin"))
    if origin in origins:
        return
    host = headers.get("host", "").lower()
    if not host or urlsplit(origin).netloc.lower() != host:
        raise NotAllowed(said("other_site"))


def _sign(key: bytes, name: str, period: int) -> str:
    return hmac.new(key, f"console\0{name}\0{period}".encode(), sha256).hexdigest()
