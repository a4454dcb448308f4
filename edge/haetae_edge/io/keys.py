"""The gateway's key rings, read from the private directory and read again when a rotation has replaced them."""

from __future__ import annotations

import logging
from pathlib import Path

from haetae_crypto.content_key import ContentKeyOpener
from haetae_crypto.discovery import build_app_keys
from haetae_crypto.errors import CryptoError
from haetae_crypto.gateway_keys import GatewayRing
from haetae_crypto.io.key_files import KeyDirectory
from haetae_crypto.keys import hkdf_expand, hkdf_extract
from haetae_crypto.signing_keys import SigningRing
from haetae_passport import JWKS_PATH, PassportMinter, jwks_document

from haetae_edge.well_known import APP_KEYS_PATH, WellKnown

_REFERENCE_LABEL = b"haetae/1 support references"
_EVENT_LABEL = b"haetae/1 behaviour events"
_DPOP_LABEL = b"haetae/1 dpop nonces"
_log = logging.getLogger("haetae.keys")


class GatewayKeys:
    """Loads the rings, hands them to those who use them, publishes the public halves.

    `refresh` is called by a timer: a changed file takes effect without a restart, a bad one is reported and the keys
    in use stay.
    """

    def __init__(self, directory: Path, *, passport_issuer: str, passport_ttl: int, now: float) -> None:
        """Raises CryptoError when a ring is missing, malformed, empty or readable by others."""
        self._directory = KeyDirectory(directory)
        self._paths = [directory / f"{name}.json" for name in ("app-keys", "passport-keys", "root-key")]
        self._seen = self._stamp()
        self._app, self._passport, self._root = self._load()
        self.opener = ContentKeyOpener(self._app)
        self.minter = PassportMinter(issuer=passport_issuer, ring=self._passport, lifetime=passport_ttl)
        self._app.active(now=now)
        self._passport.active(now=now)

    def reference_key(self) -> bytes:
        """The 32-byte key of support references: the same wherever the root key is, and of no use for anything else."""
        secret = self._root.entries[0].key.jwk.ed25519_seed()
        return hkdf_expand(hkdf_extract(b"", secret), _REFERENCE_LABEL, 32)

    def event_key(self) -> bytes:
        """The 32-byte key of the hashes in behaviour events, the same at every gateway with this root key."""
        secret = self._root.entries[0].key.jwk.ed25519_seed()
        return hkdf_expand(hkdf_extract(b"", secret), _EVENT_LABEL, 32)

    def dpop_nonce_key(self) -> bytes:
        """The 32-byte key of the nonces handed out for DPoP proofs, the same at every worker with this root key."""
        secret = self._root.entries[0].key.jwk.ed25519_seed()
        return hkdf_expand(hkdf_extract(b"", secret), _DPOP_LABEL, 32)

    def publish(self, well_known: WellKnown, *, now: float) -> None:
        """Render both public documents as of `now` (Unix seconds)."""
        root = self._root.active(now=now).key
        well_known.publish(APP_KEYS_PATH, build_app_keys(self._app, root_key=root, now=now))
        well_known.publish(JWKS_PATH, jwks_document(self._passport, now=now))

    def refresh(self, well_known: WellKnown, *, now: float) -> None:
        """Take up changed files, and publish what `now` makes current."""
        stamp = self._stamp()
        try:
            if stamp != self._seen:
                self._app, self._passport, self._root = self._load()
                self.opener.use_ring(self._app)
                self.minter.use_ring(self._passport)
                self._seen = stamp
                _log.info("key rings were read again")
            self.publish(well_known, now=now)
        except CryptoError as error:
            _log.error("key rings cannot be used, the old ones stay: %s", error)
            self._seen = stamp

    def _load(self) -> tuple[GatewayRing, SigningRing, SigningRing]:
        keys = self._directory
        return keys.load_app_keys(), keys.load_passport_keys(), keys.load_root_key()

    def _stamp(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in self._paths)
