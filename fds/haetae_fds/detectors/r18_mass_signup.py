"""R18: many accounts are made, or asked for without a secret, with one device, at one address, in one network, or from
many addresses with one client.

A tool speaks with one voice: where several clients that people have sign up at one address, as a class at school does,
there may be twice as many, and then they are asked for more rather than refused; the one among them with an old phone
changes nothing. So are those who have one client and many addresses: a new release looks like that.
"""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import SIGNUP, Facts
from haetae_fds.features_login import single
from haetae_fds.finding import Detector, Finding, api_ref, at_address, number
from haetae_fds.state import HOUR, Signups

ACCOUNTS = 5
NETWORK = 3
VOICES = 2
ALIKE = 12


class MassSignup(Detector):
    """5 accounts with one verified device, or 5 (+1 per established identity) at one address, in ten minutes.

    Three times as many in a network; 12 from 12 addresses with a client that hardly any established identity has.
    """

    name = "mass_signup"
    wants = SIGNUP

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        return self._device(f) or self._address(f) or self._network(f) or self._client(f)

    def _device(self, f: Facts) -> Finding | None:
        if f.device is None or f.device.signups is None:
            return None
        made, limit = f.device.signups.count(f.now), self.limit(f, ACCOUNTS)
        if made < limit:
            return None
        events = () if f.place is None or f.place.signups is None else f.place.signups.sample
        return self.found(
            f, "many accounts are made with one device", (number("accounts", made, limit),),
            Subject(device=f.event.dev), api=api_ref(f), events=events, ttl=HOUR,
        )  # fmt: skip

    def _address(self, f: Facts) -> Finding | None:
        if f.place is None or f.place.signups is None:
            return None
        signups = f.place.signups
        many = not f.datacentre and _several(signups)
        base = (ACCOUNTS + f.pop) * (VOICES if many else 1)
        return self._names(f, signups, base, at_address(f, strangers=True), "address", asked=many)

    def _network(self, f: Facts) -> Finding | None:
        if f.net is None or f.net.signups is None:
            return None
        pop = f.net.pop(f.now)
        subject = Subject(ip=f.net_key, untrusted=True)
        return self._names(f, f.net.signups, ACCOUNTS * NETWORK + pop, subject, "network", asked=pop > 0)

    def _names(
        self, f: Facts, signups: Signups, base: float, subject: Subject, where: str, *, asked: bool
    ) -> Finding | None:
        made, limit = signups.names.count(f.now), self.limit(f, base)
        if made < limit:
            return None
        return self.found(
            f, f"names are signed up or asked for in numbers at one {where}", (number("accounts", made, limit),),
            subject, action=Action.CHALLENGE if asked else Action.BLOCK, api=api_ref(f), events=signups.sample,
            ttl=HOUR,
        )  # fmt: skip

    def _client(self, f: Facts) -> Finding | None:
        cluster = f.cluster
        if cluster is None or cluster.signups is None or not f.rare or f.trusted:
            return None
        made, places, limit = cluster.signups.names.count(f.now), cluster.signups.ips.count(f.now), self.limit(f, ALIKE)
        if made < limit or places < limit:
            return None
        return self.found(
            f, "names are signed up from many addresses with a client nobody established uses",
            (number("accounts", made, limit), number("addresses", places, limit)),
            Subject(client=f.client, untrusted=True), action=Action.CHALLENGE, api=api_ref(f),
            events=cluster.signups.sample, ttl=HOUR,
        )  # fmt: skip


def _several(signups: Signups) -> bool:
    """Say whether several clients sign up, and most of the names with one that established identities have."""
    several = len(signups.clients) > 1 and single(signups.clients) is None
    return several and 2 * signups.rare <= sum(signups.clients.values())
