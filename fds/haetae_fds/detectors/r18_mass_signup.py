"""R18: many accounts are made, or asked for without a secret, with one device, at one address or in one network."""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import SIGNUP, Facts
from haetae_fds.finding import Detector, Finding, api_ref, at_address, number
from haetae_fds.state import HOUR

ACCOUNTS = 5
NETWORK = 3


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
        for place, base, pop in ((f.place, 1, f.pop), (f.net, NETWORK, 0 if f.net is None else f.net.pop(f.now))):
            if place is None or place.signups is None:
                continue
            limit = self.limit(f, ACCOUNTS * base + pop)
            made = place.signups.count(f.now)
            if made >= limit:
                whole = place is f.net
                return self.found(
                    f, "names are signed up or asked for in numbers at one " + ("network" if whole else "address"),
                    (number("accounts", made, limit),),
                    Subject(ip=f.net_key, untrusted=True) if whole else at_address(f, strangers=True),
                    action=Action.CHALLENGE if whole and pop else Action.BLOCK,
                    api=api_ref(f), events=place.made or (), ttl=HOUR,
                )  # fmt: skip
        return None
