"""R4: log-ins that look alike, from many addresses, on many accounts, mostly failing.

A client that hardly any established identity uses is refused; one that many use is only asked for more, for their
new phones look the same. Only unfamiliar log-ins count. Who takes one rare client after the other is known by what all
rare clients together do, while the service has more failures than ever: each is refused after its second account then.
"""

from haetae_fds.decision import Action, Number, Subject
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.finding import Detector, Finding, api_ref, number
from haetae_fds.state import HOUR, MIN2, Cluster

ADDRESSES = 15
ACCOUNTS = 20
SLOW = 1.5
STRANGE = 0.6
SHARE = 0.8
STRAY_ACCOUNTS = 2
STRAY_SHARE = 0.9


class DistributedStuffing(Detector):
    """15 addresses and 20 accounts within 2 minutes, or half as many again within an hour, 80 % failing.

    With a client that hardly any established identity has, 9 addresses and 12 accounts in either time.
    """

    name = "distributed_stuffing"
    wants = LOGIN

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        c = f.cluster
        if c is None or not f.fresh or f.familiar or c.accounts_long is None:
            return None
        numbers = self._crowd(f, c, STRANGE if f.rare else 1.0, STRANGE if f.rare else SLOW, SHARE)
        if numbers is not None:
            return self._found(f, c, "log-ins that look alike come from many addresses", numbers, f"client {f.client}")
        tried = c.accounts_long.count(f.now)
        if f.strays is None or f.surge is None or tried < STRAY_ACCOUNTS or c.ok_long.read(f.now, HOUR) >= 1:
            return None
        numbers = self._crowd(f, f.strays, 1.0, SLOW, STRAY_SHARE)
        if numbers is None:
            return None
        numbers = (*numbers, number("failures of the service", *f.surge))
        return self._found(f, f.strays, "log-ins fail with one rare client after the other", numbers, "rare clients")

    def _crowd(self, f: Facts, c: Cluster, short: float, long: float, least: float) -> tuple[Number, ...] | None:
        """Return what is measured and its limits, for two minutes or an hour, where all of it is above them."""
        if c.ips is None or c.accounts is None or c.ips_long is None or c.accounts_long is None:
            return None
        now = f.now
        for ips, accounts, failed, ok, base in (
            (c.ips, c.accounts, c.failed.read(now, MIN2), c.ok.read(now, MIN2), short),
            (c.ips_long, c.accounts_long, c.failed_long.read(now, HOUR), c.ok_long.read(now, HOUR), long),
        ):
            scale = self.limit(f, base)
            places, tried, share = ips.count(now), accounts.count(now), failed / max(1.0, failed + ok)
            if places >= ADDRESSES * scale and tried >= ACCOUNTS * scale and share >= least:
                return (
                    number("addresses", places, ADDRESSES * scale), number("accounts", tried, ACCOUNTS * scale),
                    number("share of failures", share, least),
                )  # fmt: skip
        return None

    def _found(self, f: Facts, c: Cluster, what: str, numbers: tuple[Number, ...], campaign: str) -> Finding:
        return self.found(
            f, what, numbers, Subject(client=f.client, untrusted=True), api=api_ref(f), events=c.sample,
            action=Action.BLOCK if f.rare else Action.CHALLENGE, campaign=campaign,
        )  # fmt: skip
