"""R19: many addresses of one network have been refused; the network itself is proposed.

Where nobody established lives it is refused at once, its strangers only; anywhere else a person must agree.
"""

from haetae_fds.decision import Subject
from haetae_fds.facts import OFFENSE, Facts
from haetae_fds.finding import Detector, Finding, campaign_of, number
from haetae_fds.state import MINUTE

ADDRESSES = 8


class NetworkAggregate(Detector):
    """8 different refused addresses of one /24 or /48 within an hour."""

    name = "network_aggregate"
    wants = OFFENSE

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        if f.net is None or f.net.offenders is None:
            return None
        count, limit = f.net.offenders.count(f.now), self.limit(f, ADDRESSES)
        if count < limit:
            return None
        pop = f.net.pop(f.now)
        return self.found(
            f, f"many addresses of one network, where {pop} established identities live, were refused",
            (number("addresses", count, limit),), Subject(ip=f.net_key, untrusted=True), events=f.net.offenses or (),
            ttl=30 * MINUTE, approval=pop > 0, proposal="block" if pop else None,
            campaign=campaign_of(f, f"address {f.net_key}"),
        )  # fmt: skip
