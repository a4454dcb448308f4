"""R2: many secrets tried on one account from one place.

Where the account is at home this is most likely its owner, who is asked for more only after twelve secrets. Elsewhere
it may be, on the road or with a new telephone: strangers with a client that people have are asked for more before they
are refused.
"""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.finding import Detector, Finding, api_ref, at_address, number, worst
from haetae_fds.state import MIN10

SECRETS = 6
SLOW_SECRETS = 10
HOME_SECRETS = 12
ADDRESSES = 4


class SingleSourceBruteForce(Detector):
    """At least 6 new secrets in 10 minutes, or 10 in 6 hours, from fewer than 4 addresses; 12 at home."""

    name = "single_source_brute_force"
    wants = LOGIN

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        account = f.account
        if account is None or not f.fresh or not f.ip:
            return None
        if f.familiar:
            tried = 0 if account.creds_home is None else account.creds_home.count(f.now)
            limit = self.limit(f, HOME_SECRETS)
            if tried < limit:
                return None
            return self._found(f, tried, limit, Action.CHALLENGE, Subject(account=f.event.acct, ip=f.ip))
        if account.creds is None or account.creds_slow is None or account.ips is None or account.ips_slow is None:
            return None
        for creds, ips, base in (
            (account.creds, account.ips, SECRETS),
            (account.creds_slow, account.ips_slow, SLOW_SECRETS),
        ):
            tried, limit = creds.count(f.now), self.limit(f, base)
            if tried >= limit and ips.count(f.now) < ADDRESSES:
                shared = f.pop > 0 or f.mobile
                subject = at_address(f, account=f.event.acct if shared else None)
                people = not f.rare and not f.datacentre
                action = Action.CHALLENGE if people and tried < self.limit(f, HOME_SECRETS) else Action.BLOCK
                return self._found(f, tried, limit, action, subject)
        return None

    def _found(self, f: Facts, tried: int, limit: float, action: Action, subject: Subject) -> Finding:
        numbers = (number("distinct secrets", tried, limit),)
        return Finding(
            detector=self.name, version=self.version, action=action, subjects=(subject,), api=api_ref(f),
            what="many secrets are tried on one account from one place", numbers=numbers, ttl=MIN10,
            events=tuple(f.account.sample) if f.account is not None else (), score=worst(numbers),
            campaign=f"account {f.event.acct}",
        )  # fmt: skip
