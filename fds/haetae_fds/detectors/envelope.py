"""What the three rules about envelope faults have in common. No detector itself."""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import Facts
from haetae_fds.features_faults import in_incident
from haetae_fds.finding import Detector, Finding, number, of_faults, one_api
from haetae_fds.state import MINUTE

TRUSTED = 30
RARE = 0.005


def over_limit(detector: Detector, f: Facts, kinds: tuple[str, ...], base: int, what: str) -> Finding | None:
    """Judge one pair's faults of some kinds, an established pair more patiently."""
    pair = f.fault_pair
    mine = [kind for kind in kinds if kind in f.faults]
    if pair is None or not mine or not f.ip:
        return None
    incident = any(in_incident(f, kind) for kind in mine)
    if f.trusted and incident:
        return None
    patient = f.trusted or (incident and f.claimed is not None and _few_claimed(f))
    count = sum(pair.count[kind].read(f.now, MINUTE) for kind in kinds if kind in pair.count)
    limit = detector.limit(f, TRUSTED if patient else base)
    # A decayed sum is a little below the number of events.
    if count < limit - 0.5:
        return None
    subject = of_faults(f)
    action = of_strangers(f, subject)
    if f.trusted and subject.device is None:
        action = Action.ALERT
    return detector.found(
        f, what, (number("in a minute", max(count, limit), limit),), subject, action=action, api=one_api(f, pair.apis),
        events=pair.sample,
    )  # fmt: skip


def of_strangers(f: Facts, subject: Subject) -> Action:
    """Return a challenge when strangers are meant where others live and the client tells nobody apart."""
    shared = f.pop > 0 or (f.place is not None and f.place.kind == "mobile")
    popular = subject.client is None or f.share >= RARE
    return Action.CHALLENGE if subject.device is None and shared and popular else Action.BLOCK


def _few_claimed(f: Facts) -> bool:
    """Say whether the address speaks for one or two known devices only, as homes do and collectors of ids do not."""
    return f.place is None or f.place.faults is None or f.place.faults.claimed.count(f.now) <= 2


def incident(detector: Detector, f: Facts) -> Finding | None:
    """Tell people of a fault that many established devices have at once."""
    if f.incident is None or f.every is None:
        return None
    devices = f.every.faulty[f.incident].count(f.now)
    return detector.found(
        f, f"many established devices of version {f.event.ver} have one fault ({f.incident}); none is refused for it",
        (number("devices", devices, 8),), Subject(), action=Action.ALERT, events=(f.event.id,),
        campaign=f"incident {f.incident} {f.event.ver}",
    )  # fmt: skip
