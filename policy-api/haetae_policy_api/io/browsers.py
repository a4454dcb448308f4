"""Changes that a browser sends: only from the service's own pages or listed origins (against forged requests).

Rules kept: `Sec-Fetch-Site` and `Origin` are both checked when they are there; a change is `application/json`, which no
HTML form can send. Programs send neither header and hold no cookies, so nothing can be forged in their name.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from haetae_policy_api.errors import MediaTypeUnsupported, NotAllowed


def check_change(headers: Mapping[str, str], *, origins: frozenset[str]) -> None:
    """Refuse a change that another site may have caused; `headers` have lower-case names.

    Raises NotAllowed, MediaTypeUnsupported.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise MediaTypeUnsupported("changes are sent as application/json")
    origin = headers.get("origin")
    if origin is not None:
        if origin in origins:
            return
        if urlsplit(origin).netloc.lower() != headers.get("host", "").lower() or not headers.get("host"):
            raise NotAllowed("changes are not taken from pages of other sites")
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise NotAllowed("changes are not taken from pages of other sites")
