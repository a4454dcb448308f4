"""The gateway's key rings on disk: making, rotating, publishing. What ``haetae keys`` and ``haetae up``
share.

Rules kept: a key is published before it is used, unless the one in use had to be withdrawn; the root key is
never rotated here, because apps pin it; foreign errors become sentences a user can act on. Time and
randomness are arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import orjson
from haetae_crypto.discovery import build_app_keys
from haetae_crypto.errors import CryptoError, KeyFileInvalid, KeyUnavailable
from haetae_crypto.gateway_keys import DAY, GatewayRing, new_gateway_ring, next_gateway_entry
from haetae_crypto.io.key_files import APP_KEYS, PASSPORT_KEYS, ROOT_KEY, KeyDirectory
from haetae_crypto.keyring import KeyRing, KeyState, RingEntry
from haetae_crypto.signing_keys import SigningKey, SigningRing, new_signing_ring, next_signing_entry
from haetae_passport import PUBLISH_LEAD, jwks_document

from haetae_cli.errors import KeysUnusable

Purpose = Literal["app", "passport", "root"]
RandomBytes = Callable[[int], bytes]
R = TypeVar("R")
K = TypeVar("K")
PURPOSES: tuple[Purpose, ...] = ("app", "passport", "root")
ROOT_LIFE = 3650 * DAY
# An app that fetched the key list may keep it for a while before it seals to the next key.
APP_LEAD = 3600
# The first key of a ring counts as begun this long ago: a device whose clock is slow must not find it not
# yet valid.
BACKDATE = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLine:
    """One key as listed; times in Unix seconds."""

    purpose: Purpose
    kid: str
    kind: str
    state: str
    not_before: int
    not_after: int


class KeyMaterial:
    """The three rings of one directory.

    Raises from every method:
        KeysUnusable: files missing, damaged, open to others, or not writable; says what to do.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = KeyDirectory(path)

    def init(self, *, now: float, random_bytes: RandomBytes) -> list[Purpose]:
        """Make what is not there yet; existing rings are checked and kept. Returns what was made."""
        made: list[Purpose] = []
        try:
            self._files.create()
            if not self._files.has(ROOT_KEY):
                self._files.save_root_key(new_signing_ring(random_bytes(32), now=int(now), life=ROOT_LIFE))
                made.append("root")
            if not self._files.has(APP_KEYS):
                self._files.save_app_keys(_new_app_ring(now, random_bytes))
                made.append("app")
            if not self._files.has(PASSPORT_KEYS):
                self._files.save_passport_keys(new_signing_ring(random_bytes(32), now=int(now)))
                made.append("passport")
        except CryptoError as error:
            raise _unusable(error) from error
        self.lines()
        return made

    def renew_expired(self, *, now: float, random_bytes: RandomBytes) -> list[Purpose]:
        """Replace rings that have no active key any more, as after a long pause. Returns which."""
        renewed: list[Purpose] = []
        app, passport = self._app(), self._passport()
        try:
            if not _has_active(app, now):
                self._files.save_app_keys(_new_app_ring(now, random_bytes))
                renewed.append("app")
            if not _has_active(passport, now):
                self._files.save_passport_keys(new_signing_ring(random_bytes(32), now=int(now)))
                renewed.append("passport")
        except CryptoError as error:
            raise _unusable(error) from error
        return renewed

    def lines(self) -> list[KeyLine]:
        """All keys, by purpose."""
        rows = [
            KeyLine(
                purpose="app",
                kid=entry.kid,
                kind=entry.key.public.suite.name,
                state=entry.state.value,
                not_before=entry.not_before,
                not_after=entry.not_after,
            )
            for entry in self._app().entries
        ]
        signing: list[tuple[Purpose, SigningRing]] = [("passport", self._passport()), ("root", self._root())]
        for purpose, ring in signing:
            rows += [
                KeyLine(
                    purpose=purpose,
                    kid=entry.kid,
                    kind="Ed25519",
                    state=entry.state.value,
                    not_before=entry.not_before,
                    not_after=entry.not_after,
                )
                for entry in ring.entries
            ]
        return rows

    def rotate(self, purpose: Purpose, *, now: float, lead: int | None, random_bytes: RandomBytes) -> list[KeyLine]:
        """One step of a rotation: a due next key becomes active, and a fresh one is published as next.

        Args: purpose: ``app`` or ``passport``. now: Unix seconds. lead: seconds until the fresh key may be
        used; None takes the default. random_bytes: a cryptographic source.

        Returns: The purpose's keys afterwards.

        Raises: KeysUnusable: also when the present next key is not due yet, or ``lead`` is too short for
        verifiers to learn of the key.
        """
        try:
            if purpose == "app":
                app = next_gateway_entry(
                    random_bytes(32), kid=_app_kid(now, random_bytes), now=int(now), lead=_lead(lead, APP_LEAD)
                )
                self._files.save_app_keys(self._app().rotate(app, now=now))
            elif purpose == "passport":
                fresh = next_signing_entry(random_bytes(32), now=int(now), lead=_lead(lead, PUBLISH_LEAD))
                self._files.save_passport_keys(self._passport().rotate(fresh, now=now))
            else:
                raise KeysUnusable("apps pin the root key: make a new directory and ship apps with its key instead")
        except KeyUnavailable as error:
            due = min(line.not_before for line in self.lines() if line.purpose == purpose and line.state == "next")
            raise KeysUnusable(
                f"the next {purpose} key is published but not due for another {round(due - now)} s; rotate again then"
            ) from error
        except CryptoError as error:
            raise _unusable(error) from error
        return [line for line in self.lines() if line.purpose == purpose]

    def retire(self, purpose: Purpose, kid: str, *, now: float, random_bytes: RandomBytes) -> list[KeyLine]:
        """Withdraw one key at once. Was it the active one, the next key takes its place, or else a fresh one does.

        Args: purpose: ``app`` or ``passport``. kid: of the key. now: Unix seconds. random_bytes: a
        cryptographic source.

        Returns: The purpose's keys afterwards.

        Raises: KeysUnusable: also when there is no such key.
        """
        try:
            if purpose == "app":
                app = self._app().retire(kid)
                self._files.save_app_keys(_in_use(app, _new_app_ring(now, random_bytes).entries[0], now=now))
            elif purpose == "passport":
                passport = self._passport().retire(kid)
                fresh = new_signing_ring(random_bytes(32), now=int(now)).entries[0]
                self._files.save_passport_keys(_in_use(passport, fresh, now=now))
            else:
                raise KeysUnusable("apps pin the root key: make a new directory and ship apps with its key instead")
        except KeyUnavailable as error:
            raise KeysUnusable(f"there is no {purpose} key of that id; see: haetae keys list") from error
        except CryptoError as error:
            raise _unusable(error) from error
        return [line for line in self.lines() if line.purpose == purpose]

    def publish(self, purpose: Purpose, *, now: float) -> bytes:
        """The public document: the signed app key list, the Passport key set, or the root key to pin."""
        try:
            if purpose == "app":
                return build_app_keys(self._app(), root_key=self.root_key(now=now), now=now)
            if purpose == "passport":
                return jwks_document(self._passport(), now=now)
            return orjson.dumps(self.root_key(now=now).public.to_dict())
        except CryptoError as error:
            raise _unusable(error) from error

    def root_key(self, *, now: float) -> SigningKey:
        """The root key; apps pin its public half."""
        try:
            return self._root().active(now=now).key
        except CryptoError as error:
            raise _unusable(error) from error

    def _app(self) -> GatewayRing:
        return _load(self._files.load_app_keys)

    def _passport(self) -> SigningRing:
        return _load(self._files.load_passport_keys)

    def _root(self) -> SigningRing:
        return _load(self._files.load_root_key)


def _load(load: Callable[[], R]) -> R:
    try:
        return load()
    except KeyFileInvalid as error:
        raise _unusable(error) from error


def _new_app_ring(now: float, random_bytes: RandomBytes) -> GatewayRing:
    return new_gateway_ring(random_bytes(32), kid=_app_kid(now, random_bytes), now=int(now) - BACKDATE)


def _app_kid(now: float, random_bytes: RandomBytes) -> str:
    """Names sort by when the key was made; the random part keeps two of one second apart."""
    return f"app-{int(now)}-{random_bytes(3).hex()}"


def _lead(asked: int | None, least: int) -> int:
    if asked is None:
        return max(DAY, least)
    if asked < least:
        raise KeysUnusable(f"--lead must be at least {least} s, so that everybody knows a key before it is used")
    return asked


def _has_active(ring: KeyRing[K], now: float) -> bool:
    try:
        ring.active(now=now)
    except KeyUnavailable:
        return False
    return True


def _in_use(ring: KeyRing[K], fresh: RingEntry[K], *, now: float) -> KeyRing[K]:
    """The ring with an active key: its own, else at once the next one, which others know already, else `fresh`."""
    if _has_active(ring, now):
        return ring
    upcoming = [entry for entry in ring.entries if entry.state is KeyState.NEXT and now < entry.not_after]
    if not upcoming:
        return KeyRing((*ring.entries, fresh))
    promoted = replace(upcoming[0], state=KeyState.ACTIVE, not_before=min(upcoming[0].not_before, int(now) - BACKDATE))
    return KeyRing(tuple(promoted if entry is upcoming[0] else entry for entry in ring.entries))


def _unusable(error: CryptoError) -> KeysUnusable:
    if isinstance(error, KeyFileInvalid) and "No such file" in str(error):
        return KeysUnusable(f"{error}; make keys with: haetae keys init")
    return KeysUnusable(str(error))
