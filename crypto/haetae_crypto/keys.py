"""Key derivation of the app channel (section 2): HKDF-SHA-256 (RFC 5869) with its fixed labels.

Rules kept: request and response never share a key; the response key depends on the nonce of its request, so
that one sealed content key serves many requests and no answer fits another one.

Not done here: RFC 8188's own derivations (`body`), HPKE's (`content_key`).
"""

import hmac
from typing import Final

CONTENT_KEY_BYTES: Final = 32
_REQUEST_INFO: Final = b"haetae/app/1 request"
_RESPONSE_INFO: Final = b"haetae/app/1 response"


def hkdf_extract(salt: bytes, input_key: bytes) -> bytes:
    """The 32-byte pseudorandom key of RFC 5869 section 2.2; an empty salt stands for 32 zero bytes."""
    return hmac.digest(salt, input_key, "sha256")


def hkdf_expand(pseudorandom_key: bytes, info: bytes, size: int) -> bytes:
    """The first `size` bytes (at most 32, one block) of RFC 5869 section 2.3. Raises ValueError for more."""
    if not 0 < size <= 32:
        raise ValueError("one block of HKDF-SHA-256 has at most 32 bytes")
    return hmac.digest(pseudorandom_key, info + b"\x01", "sha256")[:size]


def request_key(content_key: bytes) -> bytes:
    """IKM_req: the 32-byte input key of request bodies under this content key."""
    return hkdf_expand(hkdf_extract(b"", content_key), _REQUEST_INFO, 32)


def response_key(content_key: bytes, *, nonce: str) -> bytes:
    """IKM_res: the 32-byte input key of the body that answers the request with this signature nonce."""
    return hkdf_expand(hkdf_extract(nonce.encode("ascii"), content_key), _RESPONSE_INFO, 32)
