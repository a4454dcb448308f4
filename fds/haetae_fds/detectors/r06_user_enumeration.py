"""R6: names that do not exist are tried, from one address or from all over one network."""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.finding import Detector, Finding, api_ref, at_address, number
from haetae_fds.state import MIN2

NAMES = 6
NETWORK = 3


class UserEnumeration(Detector):
    """6 different unknown names (+ half the established identities) at an address, 18 in a network."""

    name = "user_enumeration"
    wants = LOGIN

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        if f.event.auth != "nouser" or f.place is None or f.net is None or not f.fresh:
            return None
        what = "names that do not exist are tried"
        for place, base, pop in ((f.place, NAMES, f.pop), (f.net, NAMES * NETWORK, f.net.pop(f.now))):
            if place.logins is None:
                continue
            tried = place.logins.nobody_rate.read(f.now, MIN2)
            limit = self.limit(f, base + 0.5 * pop)
            if tried >= limit:
                whole = place is f.net
                subject = Subject(ip=f.net_key, untrusted=True) if whole else at_address(f, strangers=f.pop > 0)
                return self.found(
                    f,
                    what + (" from all over a network" if whole else ""),
                    (number("unknown names", tried, limit),),
                    subject,
                    action=Action.CHALLENGE if whole and pop else Action.BLOCK,
                    api=api_ref(f),
                    events=place.logins.sample,
                )
        return None
