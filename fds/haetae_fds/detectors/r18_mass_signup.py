"""R18: many accounts are made with one device or at one address."""

from haetae_fds.decision import Subject
from haetae_fds.facts import SIGNUP, Facts
from haetae_fds.finding import Detector, Finding, api_ref, at_address, number
from haetae_fds.state import HOUR

ACCOUNTS = 5


class MassSignup(Detector):
    """5 accounts with one verified device, or 5 (+1 per established identity) at one address, in ten minutes."""

    name = "mass_signup"
    wants = SIGNUP

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        limit = self.limit(f, ACCOUNTS)
        events = () if f.place is None or f.place.made is None else f.place.made
        if f.device is not None and f.device.signups is not None:
            made = f.device.signups.count(f.now)
            if made >= limit:
                subject = Subject(device=f.event.dev)
                return self.found(
                    f, "many accounts are made with one device", (number("accounts", made, limit),), subject,
                    api=api_ref(f), events=events, ttl=HOUR,
                )  # fmt: skip
        if f.place is None or f.place.signups is None:
            return None
        limit = self.limit(f, ACCOUNTS + f.pop)
        made = f.place.signups.count(f.now)
        if made < limit:
            return None
        return self.found(
            f, "many accounts are made at one address", (number("accounts", made, limit),),
            at_address(f, strangers=True), api=api_ref(f), events=events, ttl=HOUR,
        )  # fmt: skip
