"""R3: many accounts tried from one address with new (account, secret) pairs that mostly fail.

The limit grows with how many established identities live at the address: an office or carrier gateway sees many
accounts on any morning. The slow form is counted over six hours. Lists of stolen secrets are not tried twice, old
passwords are: accounts whose one secret is repeated are excused, so many that a list gains little by it. A tool
speaks with one voice: attempts with several clients that people have are given twice as many, and strangers with such a
client are asked for more rather than refused.

Whoever takes a new address and a new client after every refusal starts anew each time: while addresses where nobody
lives are being refused one after the other, and the service sees more failures than it ever does, strangers are asked
for more at the next such address after their first failure.
"""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.features_browse import busy_group, size_of_group
from haetae_fds.features_login import single
from haetae_fds.finding import Detector, Finding, api_ref, at_address, campaign_of, number, worst
from haetae_fds.state import HOUR, HOUR6, MIN10, Logins

ACCOUNTS = 8
TOOL_ACCOUNTS = 12
SLOW_ACCOUNTS = 20
SHARE = 0.7
SLOW_SHARE = 0.8
REPEATED = 0.2
EXCUSED = 30
VOICES = 2
NETWORK = 2
HUNTED = 3
HUNT = "log-ins fail at one new address after the other"
_LIFELESS = "stuffing where nobody lives"


class StuffingFromAddress(Detector):
    """8 accounts (+1 per established identity) in 10 minutes, 70 % failing; 20 (+2) in 6 hours, 80 % failing.

    At shared addresses also 12 accounts with one client that hardly any established identity has; in a network 12 (+2).
    """

    name = "stuffing_from_address"
    wants = LOGIN

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        if f.place is None or f.place.logins is None or not f.fresh or f.familiar:
            return None
        if f.pop > 0 and (found := self._tool(f)) is not None:
            return found
        logins, now = f.place.logins, f.now
        failed, ok = logins.failed.read(now, MIN10), logins.ok.read(now, MIN10)
        if f.narrow and logins.repeats.read(now, MIN10) > REPEATED * failed:
            # Who lives here is not known yet, and lists of stolen secrets are not tried twice: an old password is.
            return None
        checks = [(logins.accounts.count(now), ACCOUNTS + f.pop, failed / (failed + ok), SHARE)]
        failed, ok = logins.failed_long.read(now, HOUR6), logins.ok_long.read(now, HOUR6)
        checks.append((logins.accounts_long.count(now), SLOW_ACCOUNTS + 2 * f.pop, failed / (failed + ok), SLOW_SHARE))
        client = single(logins.clients)
        people = not f.rare and not f.datacentre
        many = people and client is None and len(logins.clients) > 1
        for tried, base, share, least in checks:
            limit, accounts = self.limit(f, base * (VOICES if many else 1)), tried - _excused(f, logins)
            if accounts >= limit and share >= least:
                if f.api is not None and not f.pop:
                    busy_group(f.api, _LIFELESS, f.ip, now)
                numbers = (number("accounts", accounts, limit), number("share of failures", share, least))
                return Finding(
                    detector=self.name, version=self.version,
                    action=Action.CHALLENGE if people and (many or f.pop) else Action.BLOCK,
                    subjects=(at_address(f, client=client if f.pop else None),), api=api_ref(f),
                    what=f"many accounts are tried from one address where {f.pop} established identities live",
                    numbers=numbers, events=tuple(logins.sample), score=worst(numbers),
                    campaign=campaign_of(f, f"address {f.net_key}"),
                )  # fmt: skip
        return self._network(f) or self._hunted(f, logins)

    def _hunted(self, f: Facts, logins: Logins) -> Finding | None:
        if f.pop or f.surge is None or f.api is None or f.narrow:
            return None
        refused = size_of_group(f.api, _LIFELESS, f.now)
        if refused < HUNTED or logins.failed.read(f.now, MIN10) <= logins.ok.read(f.now, MIN10):
            return None
        numbers = (number("addresses refused", refused, HUNTED), number("failures of the service", *f.surge))
        busy_group(f.api, HUNT, f.ip, f.now)
        return self.found(
            f, HUNT, numbers, at_address(f, strangers=True), action=Action.CHALLENGE, api=api_ref(f),
            events=logins.sample, campaign="one new address after the other",
        )  # fmt: skip

    def _network(self, f: Facts) -> Finding | None:
        """Judge a network's addresses together: who rents one need not use an address twice."""
        net, now = f.net, f.now
        if net is None or net.logins is None or f.mobile:
            return None
        pop, logins = net.pop(now), net.logins
        failed, ok = logins.failed.read(now, MIN10), logins.ok.read(now, MIN10)
        share, accounts = failed / max(1.0, failed + ok), logins.accounts.count(now) - _excused(f, logins)
        limit = self.limit(f, TOOL_ACCOUNTS + NETWORK * pop)
        if accounts < limit or share < SLOW_SHARE:
            return None
        here = 0 if f.place is None or f.place.logins is None else f.place.logins.accounts.count(now)
        if 2 * here >= accounts:
            return None  # it is one address, and judged as one
        return self.found(
            f, f"many accounts are tried from one network where {pop} established identities live",
            (number("accounts", accounts, limit), number("share of failures", share, SLOW_SHARE)),
            Subject(ip=f.net_key, untrusted=True), action=Action.CHALLENGE if pop else Action.BLOCK, api=api_ref(f),
            events=logins.sample, campaign=campaign_of(f, f"address {f.net_key}"),
        )  # fmt: skip

    def _tool(self, f: Facts) -> Finding | None:
        """Judge a client nobody established uses by itself: how many live at its address says nothing about it."""
        c = f.cluster
        if c is None or not f.rare or c.accounts_long is None:
            return None
        accounts, limit = c.accounts_long.count(f.now), self.limit(f, TOOL_ACCOUNTS)
        failed, ok = c.failed_long.read(f.now, HOUR), c.ok_long.read(f.now, HOUR)
        share = failed / max(1.0, failed + ok)
        if accounts < limit or share < SLOW_SHARE:
            return None
        numbers = (number("accounts with this client", accounts, limit), number("share of failures", share, SLOW_SHARE))
        return self.found(
            f, "many accounts are tried with a client nobody established uses", numbers,
            at_address(f, client=f.client, strangers=True), api=api_ref(f), events=c.sample,
            campaign=campaign_of(f, f"address {f.net_key}"),
        )  # fmt: skip


def _excused(f: Facts, logins: Logins) -> int:
    """Count the accounts whose one secret was repeated, up to a bound that a list could gain by."""
    return 0 if logins.stubborn is None else min(logins.stubborn.count(f.now), EXCUSED + 2 * f.pop)
