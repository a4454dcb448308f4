"""What the three rules about envelope faults have in common. No detector itself."""

from math import sqrt

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import Facts
from haetae_fds.features_faults import GUARD_DEVICES, devices_at_fault, in_incident
from haetae_fds.finding import Detector, Finding, among_others, faulty_api, number, of_faults
from haetae_fds.state import MIN2, MINUTE

TRUSTED = 30
UNTRUSTED = 8
OURS = 3
SHARED = 5


def over_limit(detector: Detector, f: Facts, kinds: tuple[str, ...], base: int, what: str) -> Finding | None:
    """Judge one pair's faults of some kinds, an established pair more patiently."""
    pair = f.fault_pair
    mine = [kind for kind in kinds if kind in f.faults]
    if pair is None or not mine or not f.ip:
        return None
    incident = any(in_incident(f, kind) for kind in mine)
    if f.trusted and incident:
        return None
    proven = f.event.dev_v and "replay" not in mine
    patient = f.trusted or f.repeats or (incident and f.claimed is not None and (proven or _few_claimed(f)))
    count = sum(pair.count[kind].read(f.now, MINUTE) for kind in kinds if kind in pair.count)
    # While many have this fault, anybody may: somebody unknown has to stand out from them.
    limit = detector.limit(f, TRUSTED if patient else OURS * base if incident else base)
    # A decayed sum is a little below the number of events.
    if count < limit - 0.5:
        return None
    subject = of_faults(f)
    if among_others(f, subject) and elsewhere(f):
        return None
    action = of_strangers(f, subject)
    shared = f.pop >= SHARED or f.mobile
    if subject.device is None and shared and not f.rare and (incident or not _address_at_fault(detector, f)):
        # One caller nobody knows is no reason to bother all strangers of a carrier, least of all when we are at fault.
        return None
    if f.trusted and subject.device is None:
        action = Action.ALERT
    return detector.found(
        f, what, (number("in a minute", max(count, limit), limit),), subject, action=action,
        api=faulty_api(f, subject, pair.apis), events=pair.sample,
    )  # fmt: skip


def of_strangers(f: Facts, subject: Subject) -> Action:
    """Return a challenge when strangers are meant where others live, or while others have the same fault, and the
    client tells nobody apart.
    """
    popular = not f.rare
    if among_others(f, subject):
        return Action.CHALLENGE if popular or subject.client is None else Action.BLOCK
    ours = subject.device is None and popular and any(in_incident(f, kind) for kind in f.faults)
    return Action.CHALLENGE if ours else Action.BLOCK


def elsewhere(f: Facts) -> bool:
    """Say whether an address' faults are mostly made on other APIs, and this is one that its newcomers need."""
    if f.api is None or f.api_key is None:
        return True
    faults = f.fault_pair if f.place is None or f.place.faults is None else f.place.faults
    if faults is None:
        return False
    total = sum(faults.apis.values())
    return bool(f.api.login or f.api.signup) and 2 * faults.apis.get(f.api_key, total) < total


def _address_at_fault(detector: Detector, f: Facts) -> bool:
    """Say whether an address that many share has more faults of unknown pairs than so many people have anyway."""
    faults = None if f.place is None else f.place.faults
    return (
        faults is not None and faults.weight.read(f.now, MIN2 * 2.5) >= detector.limit(f, untrusted_limit(f.pop)) - 0.5
    )


def untrusted_limit(pop: int) -> float:
    """Return how many faults of unknown pairs an address may have, by how many established identities live there.

    Honest faults grow with the people, but are rare; the square root keeps one forger from hiding among hundreds.
    """
    return UNTRUSTED + 2 * sqrt(pop)


def _few_claimed(f: Facts) -> bool:
    """Say whether the address speaks for one or two known devices only, as homes do and collectors of ids do not."""
    return f.place is None or f.place.faults is None or f.place.faults.claimed.count(f.now) <= 2


def incident(detector: Detector, f: Facts) -> Finding | None:
    """Tell people of a fault that many established devices have at once."""
    if f.incident is None or f.every is None:
        return None
    return detector.found(
        f, f"many established devices of version {f.event.ver} have one fault ({f.incident}), now on "
        f"{f.api_key or 'an unknown route'}; none is refused for it",
        (number("devices", devices_at_fault(f, f.incident), GUARD_DEVICES),), Subject(), action=Action.ALERT,
        events=f.every.samples[f.incident],
        campaign=f"incident {f.incident} {f.event.ver}",
    )  # fmt: skip
