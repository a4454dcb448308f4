"""Customers who sign in with a name and a password, and the report of each attempt for fraud detection.

A thousand invented customers, whose passwords follow from their names (:func:`customer_password`), so that a
demonstration can play honest ones. What is reported holds keyed hashes under a key of this process only: of
the name, of both together, and of the password. The key is never stored, and neither are the hashes.
"""

import base64
import hashlib
import hmac

CUSTOMERS = 1000
MAX_NAME = 128
MAX_PASSWORD = 200
_HASH_BYTES = 16


def customer_name(number: int) -> str:
    """The name of customer ``number``, 1 to :data:`CUSTOMERS`."""
    return f"customer-{number:04}"


def customer_password(name: str) -> str:
    """The password of a customer of the demo."""
    return "pw-" + hashlib.sha256(f"haetae demo {name}".encode()).hexdigest()[:12]


class Customers:
    """Checks credentials. ``key`` keys the hashes of the report; a new one each day is what to use."""

    def __init__(self, *, key: bytes) -> None:
        self._key = key
        self._names = frozenset(customer_name(number) for number in range(1, CUSTOMERS + 1))

    def check(self, name: str, password: str) -> tuple[str, str]:
        """The outcome (``ok``, ``bad``, ``nouser``) and the ``Haetae-Auth`` header that reports it."""
        name = name.strip().lower()
        # The comparison takes place for unknown names too, so that time tells nobody who exists.
        right = hmac.compare_digest(customer_password(name).encode(), password.encode())
        outcome = "nouser" if name not in self._names else "ok" if right else "bad"
        parts = (
            ("account", self._hash(b"account", name)),
            ("credential", self._hash(b"credential", name, password)),
            ("secret", self._hash(b"secret", password)),
        )
        return outcome, ";".join([outcome, *(f"{label}=:{value}:" for label, value in parts)])

    def _hash(self, purpose: bytes, *texts: str) -> str:
        digest = hmac.digest(self._key, b"\0".join([purpose, *(text.encode() for text in texts)]), "sha256")
        return base64.b64encode(digest[:_HASH_BYTES]).decode()
