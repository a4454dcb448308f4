"""`X-Forwarded-Client-Cert` as Envoy writes it: from the header line to the DER bytes of one certificate.

Rules kept: exactly one line with exactly one element; only the PEM of `Cert` counts, and only when `Hash` is its
SHA-256. Envoy quotes `Cert`, `Chain` and `Subject`, but writes `URI`, `DNS` and `By` raw: a certificate whose DNS name
is `low.test;URI=spiffe://td/admin` makes pairs, elements and hashes of its own choice there. They are never read, and
a second `Hash` or `Cert`, or a `By` behind the others, is refused. Both formats are read: text and JSON.

Not done here: whether the sender may be believed at all (`certificates.py`), what the certificate says, whether it is
still valid. The chain was checked by the proxy. Source: Envoy, HTTP header manipulation, x-forwarded-client-cert.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import unquote_to_bytes

#: Bytes of one header value. aiohttp's limit for a header line is lower; this is for callers without one.
MAX_VALUE: Final = 64 * 1024
_MAX_PAIRS: Final = 4096
_ONCE: Final = frozenset({"hash", "cert", "chain", "subject", "issuer"})
_KEYS: Final = frozenset({"by", "uri", "dns"}) | _ONCE
_KEY = re.compile(r"([A-Za-z]{1,16})=")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PLAIN = re.compile(r'[^",;\\]*')
_HASH = re.compile(r"[0-9a-f]{64}")
_ESCAPED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----[\r\n]*")


class XfccInvalid(Exception):
    """The header cannot be used. `reason` is a fixed word for the log; it never carries the header's content."""

    code: ClassVar[str] = "xfcc-invalid"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Element:
    """What one element says. `by` are the names of the proxy that wrote it; `der` is the certificate its hash names.

    Every other pair is dropped unread.
    """

    by: tuple[str, ...]
    der: bytes


def parse_xfcc(lines: Sequence[bytes]) -> Element:
    """Read the header lines of one request. Raises XfccInvalid."""
    if len(lines) != 1:
        raise XfccInvalid("lines")
    value = lines[0].strip(b" \t")
    if not value or len(value) > MAX_VALUE:
        raise XfccInvalid("size")
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        raise XfccInvalid("not-ascii") from None
    if any(not " " <= character <= "~" for character in text):
        raise XfccInvalid("control-character")
    return _element(_json_pairs(text) if text[0] in "[{" else _text_pairs(text))


def _text_pairs(text: str) -> list[tuple[str, str]]:
    """The pairs of the only element. States: key → value → `;` → key …; `,` would begin a second element."""
    pairs: list[tuple[str, str]] = []
    at = 0
    while True:
        key = _KEY.match(text, at)
        if key is None or len(pairs) >= _MAX_PAIRS:
            raise XfccInvalid("pair")
        at = key.end()
        if text[at : at + 1] == '"':
            quoted = _QUOTED.match(text, at)
            if quoted is None:
                raise XfccInvalid("unterminated-quote")
            pairs.append((key[1].lower(), re.sub(r"\\(.)", r"\1", quoted[1])))
            at = quoted.end()
        else:
            plain = _PLAIN.match(text, at)
            value = plain[0] if plain is not None else ""
            pairs.append((key[1].lower(), value))
            at += len(value)
        if at == len(text):
            return pairs
        if text[at] == ",":
            raise XfccInvalid("elements")
        if text[at] != ";":
            raise XfccInvalid("separator")
        at += 1


def _json_pairs(text: str) -> list[tuple[str, str]]:
    """The same of the JSON format: a list with one object, whose values are texts or lists of texts."""
    try:
        # As pairs, because a dictionary would drop repeated keys in silence.
        document = json.loads(text, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        raise XfccInvalid("json") from None
    if not isinstance(document, list) or len(document) != 1:
        raise XfccInvalid("elements")
    if not isinstance(document[0], tuple):
        raise XfccInvalid("json")
    pairs: list[tuple[str, str]] = []
    for key, value in document[0]:
        values = value if isinstance(value, list) else [value]
        if len(pairs) + len(values) > _MAX_PAIRS or not all(isinstance(item, str) for item in values):
            raise XfccInvalid("json")
        pairs += [(key.lower(), item) for item in values]
    # An object has no order: put the pairs into that of the text format.
    return sorted(pairs, key=lambda pair: pair[0] != "by")


def _element(pairs: Iterable[tuple[str, str]]) -> Element:
    once: dict[str, str] = {}
    by: list[str] = []
    began = False
    for key, value in pairs:
        if key not in _KEYS:
            raise XfccInvalid("key")
        if key == "by":
            if began:
                raise XfccInvalid("order")
            by.append(value)
            continue
        began = True
        if key in _ONCE:
            if key in once:
                raise XfccInvalid("duplicate")
            once[key] = value
    if "cert" not in once or "hash" not in once:
        raise XfccInvalid("incomplete")
    der = _der(once["cert"])
    if not _HASH.fullmatch(once["hash"]) or once["hash"] != hashlib.sha256(der).hexdigest():
        raise XfccInvalid("hash")
    return Element(tuple(by), der)


def _der(written: str) -> bytes:
    """The DER bytes of one PEM certificate, URL-encoded as Envoy does."""
    if _ESCAPED.search(written):
        raise XfccInvalid("cert-encoding")
    pem = _PEM.fullmatch(unquote_to_bytes(written))
    if pem is None:
        raise XfccInvalid("cert-encoding")
    try:
        return base64.b64decode(re.sub(rb"[\r\n]", b"", pem[1]), validate=True)
    except binascii.Error:
        raise XfccInvalid("cert-encoding") from None
