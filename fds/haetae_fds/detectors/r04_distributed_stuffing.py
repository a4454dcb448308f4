"""R4: log-ins that look alike, from many addresses, on many accounts, mostly failing.

A client that hardly any established identity uses is refused; one that many use is only asked for more, for their
new phones look the same. Only unfamiliar log-ins count.
"""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.finding import Detector, Finding, api_ref, number
from haetae_fds.state import HOUR, MIN2

ADDRESSES = 15
ACCOUNTS = 20
SLOW = 1.5
STRANGE = 0.6
SHARE = 0.8


class DistributedStuffing(Detector):
    """15 addresses and 20 accounts within 2 minutes, or half as many again within an hour, 80 % failing.

    With a client that hardly any established identity has, 9 addresses and 12 accounts in either time.
    """

    name = "distributed_stuffing"
    wants = LOGIN

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        c = f.cluster
        if c is None or not f.fresh or f.familiar or c.ips is None or c.accounts is None:
            return None
        if c.ips_long is None or c.accounts_long is None:
            return None
        now, rare = f.now, f.rare
        for ips, accounts, failed, ok, base in (
            (c.ips, c.accounts, c.failed.read(now, MIN2), c.ok.read(now, MIN2), STRANGE if rare else 1.0),
            (
                c.ips_long, c.accounts_long, c.failed_long.read(now, HOUR), c.ok_long.read(now, HOUR),
                STRANGE if rare else SLOW,
            ),
        ):  # fmt: skip
            scale = self.limit(f, base)
            places, tried, share = ips.count(now), accounts.count(now), failed / max(1.0, failed + ok)
            if places >= ADDRESSES * scale and tried >= ACCOUNTS * scale and share >= SHARE:
                return self.found(
                    f,
                    "log-ins that look alike come from many addresses",
                    (
                        number("addresses", places, ADDRESSES * scale),
                        number("accounts", tried, ACCOUNTS * scale),
                        number("share of failures", share, SHARE),
                    ),
                    Subject(client=f.client, untrusted=True),
                    action=Action.BLOCK if rare else Action.CHALLENGE,
                    api=api_ref(f),
                    events=c.sample,
                    campaign=f"client {f.client}",
                )
        return None
