"""Envelope faults: what is wrong with a request's signature, body, nonce or attestation, and who else has it.

Rules kept: a retry is no replay; an old key version is no fault; a device id that was not verified is looked up to
see whether the pair with this address is established, and never blamed. Established pairs count towards a systemic
fault of their app version; ids from elsewhere, known or made up, never do. Not here: limits of detectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from haetae_fds.counters import Decay, Recent, note
from haetae_fds.event import Event
from haetae_fds.facts import Facts
from haetae_fds.features_login import tally
from haetae_fds.state import MIN2, MIN10, MINUTE, Faults

if TYPE_CHECKING:
    from haetae_fds.features import Features

_SIGNATURE: Final = frozenset({"bad", "unknown_key", "expired", "skew"})
_REFUSED: Final = frozenset({400, 401, 403})
GUARD_DEVICES: Final = 8
GUARD_SHARE: Final = 0.003
GUARD_PLACES: Final = 3
CLAIMS: Final = 4
LASTING: Final = 30_000


def faults_of(event: Event) -> tuple[str, ...]:
    """Name what is wrong with the envelope; empty for nearly every event."""
    sig, dec, nonce = event.sig, event.dec, event.nonce
    if (sig is None or sig == "ok") and (dec is None or dec == "ok") and (nonce is None or nonce == "ok"):
        return ("attest",) if event.attest == "fail" else ()
    found = []
    if sig is not None:
        if sig.value in _SIGNATURE:
            found.append(f"sig {sig.value}")
        elif sig.value == "missing" and event.status in _REFUSED:
            found.append("sig missing")
    if dec is not None and dec.value == "fail":
        found.append("decrypt")
    if nonce is not None and nonce.value == "replay":
        found.append("replay")
    if event.attest == "fail":
        found.append("attest")
    return tuple(found)


def update_faults(features: Features, f: Facts) -> None:
    """Count the faults of one event."""
    event, now = f.event, f.now
    pair = f.fault_pair = features.fault_pairs.touch(f"{event.dev or '-'} {f.ip}", now)
    _count(pair, f)
    f.version, f.every = features.version_of(f), features.every_version(f)
    _systemic(f)
    f.repeats = _repeats(f)
    if f.place is not None and not f.repeats and (not f.trusted or _from_one_place(f)):
        if f.place.faults is None:
            f.place.faults = Faults()
        _count(f.place.faults, f)
        if f.claimed is not None and event.dev is not None:
            f.place.faults.claimed.add(event.dev, now)


def _count(faults: Faults, f: Facts) -> None:
    now = f.now
    for kind in f.faults:
        counter = faults.count.get(kind)
        if counter is None:
            counter = faults.count[kind] = Decay()
        counter.add(now, MINUTE)
        faults.kinds[kind] = now
    weight = sum(2.0 if kind == "attest" else 1.0 for kind in f.faults)
    faults.weight.add(now, MIN2 * 2.5, weight)
    if f.client is not None:
        tally(faults.clients, f.client)
    if f.api_key is not None:
        tally(faults.apis, f.api_key)
    note(faults.sample, f.event.id)


def _systemic(f: Facts) -> None:
    """Note an established pair's fault; when many have it at once it is our own mistake, not theirs."""
    event, now = f.event, f.now
    if not f.trusted or event.dev is None:
        return
    for kind in f.faults:
        for version in (f.every, f.version):
            if version is None:
                continue
            faulty = version.faulty.get(kind)
            if faulty is None:
                faulty = version.faulty[kind] = Recent(MIN2)
                version.faulty_at[kind] = Recent(MIN2)
            places = version.faulty_at[kind]
            if not faulty.count(now):
                version.faulty_since[kind] = now
            faulty.add(event.dev, now)
            places.add(f.ip, now)
            note(version.samples.setdefault(kind, []), event.id)
            count = faulty.count(now)
            if places.count(now) < GUARD_PLACES:
                continue
            if count >= GUARD_DEVICES and count >= GUARD_SHARE * version.active.count(now):
                if version.incident_until.get(kind, 0) <= now:
                    f.incident = kind
                version.incident_until[kind] = now + MIN10


def _repeats(f: Facts) -> bool:
    """Say whether somebody repeats what we have just failed to answer, here. Whoever only has other people's recorded
    requests cannot have made a new one.
    """
    asked = None if f.device is None else f.device.unanswered
    return f.faults == ("replay",) and asked is not None and asked[0] == f.ip and f.now - asked[1] <= MIN2


def _from_one_place(f: Facts) -> bool:
    """Say whether several devices' ids come with one forgeable fault from hardly more than one address.

    Our own mistakes are made everywhere at once; somebody who knows his neighbours' ids makes his where he is.
    """
    if f.event.dev_v or f.every is None:
        return False
    for kind in f.faults:
        devices, places = f.every.faulty.get(kind), f.every.faulty_at.get(kind)
        if devices is None or places is None:
            continue
        lasting = f.now - f.every.faulty_since.get(kind, f.now) >= LASTING
        if lasting and devices.count(f.now) >= CLAIMS and places.count(f.now) < GUARD_PLACES:
            return True
    return False


def devices_at_fault(f: Facts, kind: str) -> int:
    """Return how many established devices have this fault now."""
    faulty = None if f.every is None else f.every.faulty.get(kind)
    return 0 if faulty is None else faulty.count(f.now)


def in_incident(f: Facts, kind: str) -> bool:
    """Say whether a systemic fault of this kind is under way for the event's version, or for all."""
    return any(version is not None and version.incident_until.get(kind, 0) > f.now for version in (f.version, f.every))
