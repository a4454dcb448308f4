"""People and their devices: what the identity service knows.

Rules kept: a device key belongs to one person for good; its id is derived from the key, so that nobody
chooses it; a disabled account disables all its devices; tables are bounded. Time and storage are the
caller's: ``export`` gives what must survive a restart, ``restore`` takes it back. Knows nothing of HTTP.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwk import PublicJwk, parse_public_jwk

from haetae_demo.errors import (
    AccountDisabled,
    CapacityReached,
    Conflict,
    CredentialsInvalid,
    DemoError,
    NotFound,
    RequestInvalid,
    WorldInvalid,
)
from haetae_demo.fields import Fields
from haetae_demo.world import Person, World

MAX_DEVICES = 100_000
MAX_DEVICES_PER_PERSON = 100
PLATFORMS = frozenset({"ios", "android", "cli"})
ATTESTATIONS = frozenset({"none", "basic", "strong"})
_ATTESTATION_RISK = {"none": 0.2, "basic": 0.05, "strong": 0.0}
# A call without a user is riskier than one whose user we know.
_UNNAMED_RISK = 0.3

RiskLevel = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An enrolled device and its public key."""

    keyid: str
    key: PublicJwk
    user_id: str
    platform: str
    app_version: str
    attestation: str

    @property
    def alg(self) -> str:
        """The RFC 9421 algorithm its key signs with."""
        return "ed25519" if self.key.kty == "OKP" else "ecdsa-p256-sha256"


def read_device_key(jwk: Mapping[str, object]) -> PublicJwk:
    """An Ed25519 or P-256 public key.

    Raises:
        RequestInvalid: anything else.
    """
    try:
        key = parse_public_jwk(jwk)
    except KeyFormatInvalid as error:
        raise RequestInvalid(f"public_key: {error}") from error
    if key.kty == "RSA":
        raise RequestInvalid("public_key: device keys are Ed25519 or P-256")
    return key


def risk_level(score: float) -> RiskLevel:
    """The name of a score between 0 and 1."""
    if score >= 0.8:
        return "high"
    return "medium" if score >= 0.4 else "low"


class Directory:
    """All people of a world, their devices and whose account is disabled."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._devices: dict[str, Device] = {}
        self._disabled: set[str] = set()

    def person_by_code(self, code: str) -> Person:
        """Whose enrolment code this is.

        Raises:
            CredentialsInvalid: nobody's.
        """
        offered = code.encode()
        found = [p for p in self._world.people.values() if hmac.compare_digest(p.enrolment_code.encode(), offered)]
        if not found:
            raise CredentialsInvalid("this enrolment code is not known")
        return found[0]

    def enrol(self, person: Person, *, key: PublicJwk, platform: str, app_version: str, attestation: str) -> Device:
        """Record the person's device; their oldest one makes room when they have too many.

        Enrolling the same key again updates what is said about it.

        Raises:
            AccountDisabled: the account is switched off.
            Conflict: the key belongs to somebody else.
            CapacityReached: too many devices in all.
        """
        if person.id in self._disabled:
            raise AccountDisabled("this account is disabled")
        device = Device(
            keyid=f"dev_{key.thumbprint}",
            key=key,
            user_id=person.id,
            platform=platform,
            app_version=app_version,
            attestation=attestation,
        )
        known = self._devices.get(device.keyid)
        if known is not None and known.user_id != person.id:
            raise Conflict("this key is enrolled for somebody else")
        if known is None:
            self._make_room(person)
        self._devices[device.keyid] = device
        return device

    def _make_room(self, person: Person) -> None:
        theirs = [keyid for keyid, other in self._devices.items() if other.user_id == person.id]
        for oldest in theirs[: max(0, len(theirs) - MAX_DEVICES_PER_PERSON + 1)]:
            del self._devices[oldest]
        if len(self._devices) >= MAX_DEVICES:
            raise CapacityReached("too many devices are enrolled")

    def device(self, keyid: str) -> Device:
        """One device, disabled or not.

        Raises:
            NotFound: no such key id.
        """
        device = self._devices.get(keyid)
        if device is None:
            raise NotFound("there is no such device")
        return device

    def record(self, keyid: str) -> dict[str, object]:
        """A device as gateways ask for it.

        Raises:
            NotFound: no such key id.
        """
        device = self.device(keyid)
        return {
            "keyid": device.keyid,
            "alg": device.alg,
            "public_key": dict(device.key.members),
            "user_id": device.user_id,
            "device": _facts(device),
            "status": "disabled" if device.user_id in self._disabled else "active",
        }

    def context(self, *, sub: str, keyid: str | None) -> dict[str, object]:
        """What a Passport says about the caller: user, device, consents, risk.

        A device that calls for itself, without a user, is its own ``sub``: its key id.

        Raises:
            NotFound: no such person or device.
            AccountDisabled: the account is switched off.
            Conflict: the device is somebody else's.
        """
        if keyid is not None and sub == keyid:
            return self._device_context(self.device(keyid))
        person = self._person(sub)
        if sub in self._disabled:
            raise AccountDisabled("this account is disabled")
        device = None if keyid is None else self.device(keyid)
        if device is not None and device.user_id != sub:
            raise Conflict("this device belongs to somebody else")
        unattested = 0.0 if device is None else _ATTESTATION_RISK[device.attestation]
        score = round(min(1.0, person.risk + unattested), 3)
        return {
            "user": {"id": person.id, "name": person.name, "locale": person.locale, "tier": person.tier},
            "device": {} if device is None else _facts(device),
            "consents": dict(person.consents),
            "risk": {"score": score, "level": risk_level(score)},
        }

    def _device_context(self, device: Device) -> dict[str, object]:
        if device.user_id in self._disabled:
            raise AccountDisabled("this account is disabled")
        score = _UNNAMED_RISK + _ATTESTATION_RISK[device.attestation]
        risk = {"score": round(score, 3), "level": risk_level(score)}
        return {"user": None, "device": _facts(device), "consents": {}, "risk": risk}

    def set_disabled(self, user_id: str, *, disabled: bool) -> bool:
        """Switch an account off or on; says whether that changed anything.

        Raises:
            NotFound: no such person.
        """
        self._person(user_id)
        before = user_id in self._disabled
        if disabled:
            self._disabled.add(user_id)
        else:
            self._disabled.discard(user_id)
        return before != disabled

    def export(self) -> dict[str, object]:
        """Devices and disabled accounts as JSON values, for :meth:`restore`."""
        return {
            "devices": [
                {"user_id": d.user_id, "public_key": dict(d.key.members), "device": _facts(d)}
                for d in self._devices.values()
            ],
            "disabled": [{"user_id": user_id} for user_id in sorted(self._disabled)],
        }

    def restore(self, members: Mapping[str, object]) -> None:
        """Take back what :meth:`export` gave; people who left the world are left out.

        Raises:
            WorldInvalid: it is not such an export.
        """
        try:
            top = Fields(members)
            for row in top.rows("devices", most=MAX_DEVICES):
                self._restore_device(row)
            disabled = []
            for row in top.rows("disabled", most=MAX_DEVICES):
                disabled.append(row.text("user_id", most=64))
                row.done()
            top.done()
        except DemoError as error:
            raise WorldInvalid(f"saved devices: {error}") from error
        self._disabled.update(user_id for user_id in disabled if user_id in self._world.people)

    def _restore_device(self, row: Fields) -> None:
        key = read_device_key(row.raw_object("public_key"))
        person = self._world.people.get(row.text("user_id", most=64))
        facts = row.nested("device")
        facts.text("id", most=128)
        platform, app_version, attestation = read_device_facts(facts)
        row.done()
        if person is not None:
            self.enrol(person, key=key, platform=platform, app_version=app_version, attestation=attestation)

    def _person(self, user_id: str) -> Person:
        person = self._world.people.get(user_id)
        if person is None:
            raise NotFound("there is no such person")
        return person


def read_device_facts(facts: Fields) -> tuple[str, str, str]:
    """Platform, app version and attestation, nothing else.

    Raises:
        RequestInvalid: a member is missing, unknown or ill-typed.
    """
    found = (
        facts.choice("platform", PLATFORMS),
        facts.text("app_version", most=32),
        facts.choice("attestation", ATTESTATIONS),
    )
    facts.done()
    return found


def _facts(device: Device) -> dict[str, str]:
    return {
        "id": "d-" + device.key.thumbprint[:16],
        "platform": device.platform,
        "app_version": device.app_version,
        "attestation": device.attestation,
    }
