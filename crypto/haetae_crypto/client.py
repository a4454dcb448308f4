"""The app's side of the app channel: prepares signed, encrypted requests and opens the answers.

Sans-io: hand the prepared request to any HTTP client. Per request:

    prepared = client.prepare("POST", url, headers=…, body=…, token=…, now=…)
    …send prepared.method, prepared.target (or url), prepared.headers, prepared.body…
    answer = prepared.opener.open(status, headers, body)

Rules kept:
- Every `prepare` draws a fresh nonce. A prepared request is sent at most once; to try again, prepare again.
- The content key is sealed once and reused within its age, per gateway key.
- A successful answer in plaintext, where an encrypted one was asked for, is refused: only problem answers
  (status 400 and up) may come plain, as those do that the gateway gives before it opened the key.
- The clock is the caller's; `learn_from` corrects it by the `Date` of a `clock-skew` answer, and drops the
  content key on `content-key-invalid`. Both allow one more try by the caller.

Not done here: sending, redirects, fetching the key list (`discovery`), storing keys.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from haetae_crypto.app_channel import (
    ED25519,
    P256,
    REQUIRED_WHEN_PRESENT,
    TAG,
    allowed_components,
    app_signature_base,
)
from haetae_crypto.b64url import b64url_encode
from haetae_crypto.body import CODING, DEFAULT_RECORD_SIZE, SALT_BYTES, BodyDecryptor, open_body, seal_body
from haetae_crypto.content_key import MAX_AGE_S, seal_content_key
from haetae_crypto.digest import content_digest
from haetae_crypto.errors import BodyUndecryptable, KeyFormatInvalid, SignatureInvalid
from haetae_crypto.gateway_keys import GatewayPublicKey
from haetae_crypto.jwk import PrivateJwk
from haetae_crypto.keyring import is_key_id
from haetae_crypto.keys import CONTENT_KEY_BYTES, request_key, response_key
from haetae_crypto.message_signature import format_signature
from haetae_crypto.signature_algorithms import expand_ed25519_seed, sign_ed25519, sign_p256

SIGNATURE_LIFE_S: Final = 20
NONCE_BYTES: Final = 16
RENEW_BEFORE_S: Final = 60
"""A content key is sealed anew this long before the gateway would call it too old."""
MAX_CLOCK_OFFSET_S: Final = 7 * 86_400
"""Default limit on how far a `Date` may move the clock: a forged one gets signatures for another time."""

_URL = re.compile(r"(https?)://([^/?#@\\]+)([/?][^#]*)?", re.IGNORECASE)
_URL_CHARACTERS = re.compile(r"[!-~]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t -~]*")
_OWN_HEADERS: Final = frozenset(
    {
        "authorization",
        "content-digest",
        "content-encoding",
        "content-length",
        "haetae-key",
        "host",
        "signature",
        "signature-input",
        "transfer-encoding",
    }
)
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class OpenedAnswer:
    """An answer's plaintext; `encrypted` tells whether it came sealed with this request's key."""

    body: bytes
    encrypted: bool


@dataclass(frozen=True, slots=True, repr=False)
class AnswerOpener:
    """Opens the answer to one request; `response_key` is None when no encrypted answer was asked for."""

    method: str
    response_key: bytes | None

    def open(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> OpenedAnswer:
        """The plaintext of a whole answer. Raises BodyUndecryptable."""
        decryptor = self.streaming(status, headers)
        if self.method == "HEAD" or status in (204, 304):
            return OpenedAnswer(body=b"", encrypted=False)
        if decryptor is None or self.response_key is None:
            return OpenedAnswer(body=body, encrypted=False)
        return OpenedAnswer(body=open_body(self.response_key, body), encrypted=True)

    def streaming(self, status: int, headers: Iterable[tuple[str, str]]) -> BodyDecryptor | None:
        """A decryptor to feed the answer to, or None when the answer is plain and may be.

        Raises BodyUndecryptable when a plain answer is not acceptable.
        """
        codings = [value.strip().lower() for name, value in headers if name.lower() == "content-encoding"]
        if self.response_key is not None and codings == [CODING]:
            return BodyDecryptor(self.response_key)
        empty = self.method == "HEAD" or status in (204, 304)
        if CODING in ",".join(codings) or (self.response_key is not None and status < 400 and not empty):
            raise BodyUndecryptable
        return None


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request ready to be sent once. `target` is path and query as they go on the request line."""

    method: str
    scheme: str
    authority: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    nonce: str
    opener: AnswerOpener


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A request as the signature sees it (`app_channel.SignedRequest`)."""

    method: str
    authority: str
    path: str
    query: str | None
    has_body: bool
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def field_lines(self, name: str, /) -> Sequence[str]:
        return self.fields.get(name, ())


@dataclass(frozen=True, slots=True, repr=False)
class _Session:
    """A content key sealed to one gateway key."""

    secret: bytes
    request_key: bytes
    header: str
    created: int


class AppClient:
    """One app installation: its device key and, when bodies are encrypted, the gateway key it seals to.

    `random_bytes(n)` gives n fresh random bytes from a cryptographic source. Without a `gateway_key` requests
    are signed but plain. Raises KeyFormatInvalid for a malformed `keyid`.
    """

    __slots__ = (
        "_alg",
        "_gateway_key",
        "_keyid",
        "_max_clock_offset",
        "_random",
        "_record_size",
        "_session",
        "_sign",
        "clock_offset",
    )

    def __init__(
        self,
        *,
        keyid: str,
        device_key: PrivateJwk,
        gateway_key: GatewayPublicKey | None,
        random_bytes: Callable[[int], bytes],
        record_size: int = DEFAULT_RECORD_SIZE,
        max_clock_offset: float = MAX_CLOCK_OFFSET_S,
    ) -> None:
        if not is_key_id(keyid):
            raise KeyFormatInvalid("malformed device key id")
        self._keyid = keyid
        self._alg, self._sign = _signer(device_key)
        self._gateway_key = gateway_key
        self._random = random_bytes
        self._record_size = record_size
        self._max_clock_offset = max_clock_offset
        self._session: _Session | None = None
        self.clock_offset = 0.0

    def use_gateway_key(self, key: GatewayPublicKey) -> None:
        """Seal to `key` from now on, as after fetching the key list again."""
        self._gateway_key = key
        self._session = None

    def learn_from(self, code: str, headers: Iterable[tuple[str, str]], *, now: float) -> bool:
        """Draw the consequence of a problem answer's `code`; True when preparing again makes sense, once.

        `clock-skew`: takes the gateway's `Date` for the time. `content-key-invalid`: drops the content key;
        the caller should fetch the key list and call `use_gateway_key` first.
        """
        if code == "content-key-invalid" and self._gateway_key is not None:
            self._session = None
            return True
        if code != "clock-skew":
            return False
        dates = [value for name, value in headers if name.lower() == "date"]
        try:
            offset = parsedate_to_datetime(dates[0]).timestamp() - now
        except (IndexError, ValueError, TypeError, OverflowError):
            return False
        if len(dates) != 1 or abs(offset) > self._max_clock_offset:
            return False
        self.clock_offset = offset
        self._session = None
        return True

    def prepare(
        self,
        method: str,
        url: str,
        *,
        now: float,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        token: str | None = None,
    ) -> PreparedRequest:
        """Sign, and where a gateway key is known encrypt, one request; `now` is the caller's clock in Unix
        seconds.

        `headers` must not contain those the channel writes itself. Raises SignatureInvalid for a URL, header
        or token that cannot be signed.
        """
        time = now + self.clock_offset
        scheme, authority, path, query = _split(url)
        session = self._current_session(time)
        fields, payload = self._fields(headers, body, token, session)
        outgoing = _Outgoing(
            method=method,
            authority=authority,
            path=path,
            query=query,
            has_body=payload is not None,
            fields={name: [value] for name, value in fields.items()},
        )
        nonce = b64url_encode(self._random(NONCE_BYTES))
        fields |= self._signature(outgoing, nonce, int(time))
        answer_key = None if session is None else response_key(session.secret, nonce=nonce)
        return PreparedRequest(
            method=method,
            scheme=scheme,
            authority=authority,
            target=path if query is None else f"{path}?{query}",
            headers=tuple(fields.items()),
            body=payload,
            nonce=nonce,
            opener=AnswerOpener(method=method, response_key=answer_key),
        )

    def _current_session(self, time: float) -> _Session | None:
        if self._gateway_key is None:
            return None
        session = self._session
        if session is None or not 0 <= time - session.created < MAX_AGE_S - RENEW_BEFORE_S:
            secret, created = self._random(CONTENT_KEY_BYTES), int(time)
            header = seal_content_key(secret, gateway_key=self._gateway_key, keyid=self._keyid, created=created)
            session = self._session = _Session(secret, request_key(secret), header, created)
        return session

    def _fields(
        self,
        headers: Iterable[tuple[str, str]],
        body: bytes | None,
        token: str | None,
        session: _Session | None,
    ) -> tuple[dict[str, str], bytes | None]:
        fields: dict[str, str] = {}
        for name, value in headers:
            lower = name.lower()
            if lower in _OWN_HEADERS or lower in fields:
                raise SignatureInvalid(f"header {lower!r} is given twice or belongs to the channel")
            if _HEADER_NAME.fullmatch(name) is None or _HEADER_VALUE.fullmatch(value) is None:
                raise SignatureInvalid(f"header {lower!r} cannot be sent as it is")
            fields[lower] = value.strip(" \t")
        if token is not None:
            fields["authorization"] = f"Bearer {token}"
        if session is not None:
            fields["haetae-key"] = session.header
            accepted = fields.get("accept-encoding")
            fields["accept-encoding"] = CODING if accepted is None else f"{CODING}, {accepted}"
            if body is not None:
                salt = self._random(SALT_BYTES)
                body = seal_body(session.request_key, body, salt=salt, record_size=self._record_size)
                fields["content-encoding"] = CODING
        if body is not None:
            fields.setdefault("content-type", "application/octet-stream")
            fields["content-digest"] = content_digest(body)
        return fields, body

    def _signature(self, outgoing: _Outgoing, nonce: str, created: int) -> dict[str, str]:
        names = ["@method", "@authority", "@path", "@query"]
        if outgoing.has_body:
            names += ["content-digest", "content-type"]
        names += [name for name in REQUIRED_WHEN_PRESENT if name in outgoing.fields]
        covered = allowed_components([(name, {}) for name in names])
        parameters = (
            f';created={created};expires={created + SIGNATURE_LIFE_S};nonce="{nonce}"'
            f';keyid="{self._keyid}";alg="{self._alg}";tag="{TAG}"'
        )
        text = covered.text + parameters
        signature = self._sign(app_signature_base(outgoing, covered, text))
        signature_input, signature_field = format_signature("app", text, signature)
        return {"signature-input": signature_input, "signature": signature_field}


def _signer(key: PrivateJwk) -> tuple[str, Callable[[bytes], bytes]]:
    if isinstance(key.key, EllipticCurvePrivateKey):
        private = key.key
        return P256, lambda base: sign_p256(private, base)
    expanded = expand_ed25519_seed(key.ed25519_seed())
    return ED25519, lambda base: sign_ed25519(expanded, base)


def _split(url: str) -> tuple[str, str, str, str | None]:
    """Scheme, authority as the gateway will see it, path and raw query. Raises SignatureInvalid."""
    found = _URL.fullmatch(url)
    if found is None or _URL_CHARACTERS.fullmatch(url) is None:
        raise SignatureInvalid("the URL is not plain ASCII http(s) without user info and fragment")
    scheme = found[1].lower()
    authority = found[2].lower().removesuffix(_DEFAULT_PORTS[scheme])
    path, mark, query = (found[3] or "/").partition("?")
    return scheme, authority, path or "/", query if mark else None
