"""R12: somebody takes the app's protocol apart: many kinds of faults, or many faults from pairs nobody knows."""

from haetae_fds.decision import Number
from haetae_fds.detectors.envelope import SHARED, elsewhere, of_strangers, untrusted_limit
from haetae_fds.facts import FAULT, Facts
from haetae_fds.features_faults import in_incident
from haetae_fds.finding import Detector, Finding, among_others, api_ref, at_address, number, of_faults
from haetae_fds.state import MIN2, Faults

KINDS = 3
FAULTS = 4
TRUSTED_FAULTS = 8
MANY_DEVICES = 3
WINDOW = 300_000


class AppAnalysis(Detector):
    """3 kinds and 4 faults within 5 minutes, or 8 faults of unknown pairs at one address (more where others live)."""

    name = "app_analysis"
    wants = FAULT

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        if not f.ip:
            return None
        # All the people of a shared address have every kind of fault between them.
        one = f.trusted or f.pop >= SHARED
        faults = f.fault_pair if one else None if f.place is None else f.place.faults
        if faults is None:
            return None
        ours = all(in_incident(f, kind) for kind in f.faults)
        kinds = sum(1 for kind, at in faults.kinds.items() if f.now - at <= WINDOW and not in_incident(f, kind))
        weight = faults.weight.read(f.now, MIN2 * 2.5)
        most = self.limit(f, TRUSTED_FAULTS if one else FAULTS + 0.25 * f.pop)
        if kinds >= KINDS and weight >= most - 0.5 and not ours:
            return self._found(f, faults, number("kinds of faults", kinds, KINDS), _faults(weight, most))
        place = None if f.place is None else f.place.faults
        if place is None or ours or (f.trusted and (f.event.dev_v or place.claimed.count(f.now) < MANY_DEVICES)):
            return None
        # Nobody lives here, and yet one place speaks for several devices that are at home elsewhere.
        collector = f.pop == 0 and f.claimed is not None and place.claimed.count(f.now) >= MANY_DEVICES
        weight, most = place.weight.read(f.now, MIN2 * 2.5), untrusted_limit(f.pop)
        faults, most = place, self.limit(f, most / 2 if collector else most)
        if weight >= most - 0.5:
            return self._found(f, faults, _faults(weight, most))
        return None

    def _found(self, f: Facts, faults: Faults, *numbers: Number) -> Finding | None:
        subject = of_faults(f)
        if subject.device is not None and not f.trusted and faults.claimed.count(f.now) >= MANY_DEVICES:
            # One place speaks for many devices: whoever that is, the devices' owners are elsewhere.
            subject = at_address(f, client=f.client if f.pop > 0 else None)
        others = among_others(f, subject)
        if others and elsewhere(f):
            return None
        return self.found(
            f, "the app's protocol is being taken apart", numbers, subject, action=of_strangers(f, subject),
            api=api_ref(f) if others else None, events=faults.sample,
        )  # fmt: skip


def _faults(weight: float, most: float) -> Number:
    """Put the decayed sum beside its limit; it is a little below the number of faults, which reached the limit."""
    return number("faults", max(weight, most), most)
