"""The errors of this package: few classes, each with a stable ``code``.

Rules kept:
- ``code`` is a class attribute and part of the public interface; the message is for logs only.
- The codes of refusals a client can meet are those of the app channel (`signature-invalid`, `clock-skew`,
  `content-key-invalid`, `body-undecryptable`).
- Messages never carry key material, plaintext or token text, and a decryption error never says why.

Not done here: HTTP statuses and problem documents; the gateway has one table for those.
"""

from typing import ClassVar


class CryptoError(Exception):
    """Base of every error raised on purpose by this package."""

    code: ClassVar[str] = "crypto-error"


class SignatureInvalid(CryptoError):
    """A signature, its coverage, its digest or its field syntax does not hold."""

    code = "signature-invalid"


class SignatureMissing(SignatureInvalid):
    """The message carries no signature of the application at all."""


class ClockSkew(CryptoError):
    """The signature is outside its time window: too old, not yet valid, or living too long."""

    code = "clock-skew"


class ContentKeyInvalid(CryptoError):
    """The sealed content key is malformed, too old, for an unknown key, or does not open."""

    code = "content-key-invalid"


class BodyUndecryptable(CryptoError):
    """An encrypted body does not open. Deliberately says nothing about the reason."""

    code = "body-undecryptable"

    def __init__(self) -> None:
        super().__init__("the body does not open")


class KeyFormatInvalid(CryptoError):
    """A key, key ring or key list is malformed, of a kind not allowed, or unfit for its purpose."""

    code = "key-format-invalid"


class KeyUnavailable(CryptoError):
    """A key ring holds no key for the purpose at the time asked (an empty ring always answers this)."""

    code = "key-unavailable"


class JwsInvalid(CryptoError):
    """A compact JWS is malformed, of another type or algorithm than asked, or its signature is wrong."""

    code = "jws-invalid"


class DiscoveryInvalid(CryptoError):
    """The gateway's published key list is malformed, not signed by the pinned root key, or outdated."""

    code = "discovery-invalid"


class KeyFileInvalid(CryptoError):
    """A key file is missing, malformed, or readable by others than its owner."""

    code = "key-file-invalid"
