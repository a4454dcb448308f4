"""A login under way: what must be remembered between sending the browser off and its coming back.

Rules kept: the secrets of a login (`nonce`, PKCE verifier) are sealed with `state` and the browser's own cookie
together, so they open only for the browser that began the login, and not from a copy of the store. The hash that finds
a login depends on both too: somebody who learned a `state` can neither use it nor use it up from another browser. The
way home is sealed apart, because it outlives the first use.

Not done here: storing, and using a login once (`io/session_store.py`); whether `return_to` is a good address, which the
caller has decided before.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Final

from haetae_crypto.b64url import b64url_encode

from haetae_oidc.errors import LoginStale
from haetae_oidc.session.sealing import NotOpened, seal, unseal

BROWSER_BYTES: Final = 32
_BROWSER: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingLogin:
    """What a login under way needs. `started` is in Unix seconds, `max_age` in seconds."""

    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str
    acr: tuple[str, ...]
    max_age: int | None
    started: float


def good_browser(value: str | None) -> str | None:
    """The browser's cookie value, when it has the form of ours."""
    return value if value is not None and _BROWSER.fullmatch(value) is not None else None


def browser_key(browser: str) -> str:
    """What the store calls this browser."""
    return b64url_encode(sha256(b"browser\0" + browser.encode()).digest())


def login_key(state: str, browser: str) -> str:
    """What the store calls this login of this browser."""
    return b64url_encode(_secret(b"find", state, browser))


def seal_login(login: PendingLogin, *, state: str, browser: str, nonce: bytes) -> bytes:
    """The login for the store; `nonce` is 12 fresh random bytes."""
    plain = json.dumps(asdict(login), separators=(",", ":")).encode()
    return seal(_secret(b"open", state, browser), plain, bound_to=("login",), nonce=nonce)


def open_login(sealed: bytes, *, state: str, browser: str) -> PendingLogin:
    """The login again. Raises LoginStale."""
    try:
        document = json.loads(unseal(_secret(b"open", state, browser), sealed, bound_to=("login",)))
    except NotOpened:
        raise LoginStale from None
    document["acr"] = tuple(document["acr"])
    return PendingLogin(**document)


def seal_return(return_to: str, *, state: str, browser: str, nonce: bytes) -> bytes:
    """The way home for the store; `nonce` is 12 fresh random bytes."""
    return seal(_secret(b"open", state, browser), return_to.encode(), bound_to=("return",), nonce=nonce)


def open_return(sealed: bytes, *, state: str, browser: str) -> str:
    """The way home again. Raises LoginStale."""
    try:
        return unseal(_secret(b"open", state, browser), sealed, bound_to=("return",)).decode()
    except NotOpened:
        raise LoginStale from None


def _secret(purpose: bytes, state: str, browser: str) -> bytes:
    return sha256(b"\0".join((purpose, sha256(state.encode()).digest(), browser.encode()))).digest()
