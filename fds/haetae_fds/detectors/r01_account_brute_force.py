"""R1: many secrets tried on one account from many addresses, none of them where the account is at home.

The account's owner is the victim: only callers without an established identity are refused. Who signs in with browsers
only has no such identity before the log-in, so strangers are asked for more there, which the owner can give. Slow
attempts are counted over six hours.
"""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.features_login import single
from haetae_fds.finding import Detector, Finding, api_ref, number, worst
from haetae_fds.state import Account

SECRETS = 6
FEW_SECRETS = 4
SLOW_SECRETS = 10
ADDRESSES = 4


class AccountBruteForce(Detector):
    """At least 6 new secrets in 10 minutes, or 10 in 6 hours, from at least 4 addresses.

    4 secrets are enough when all come with one client that hardly any established identity has.
    """

    name = "account_brute_force"
    wants = LOGIN

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        account = f.account
        if account is None or not f.fresh or f.familiar or account.creds is None or account.creds_slow is None:
            return None
        if account.ips is None or account.ips_slow is None:
            return None
        rare = f.cluster is not None and f.strange and single(account.clients) == f.client
        for creds, ips, base in (
            (account.creds, account.ips, SECRETS),
            (account.creds_slow, account.ips_slow, SLOW_SECRETS),
        ):
            # Nobody's own program guesses: a client that nobody established has tells guesses from slips.
            limit = self.limit(f, FEW_SECRETS if rare else base)
            tried, places = creds.count(f.now), ips.count(f.now)
            if tried >= limit and places >= ADDRESSES:
                numbers = (number("distinct secrets", tried, limit), number("addresses", places, ADDRESSES))
                return Finding(
                    detector=self.name, version=self.version, action=_action(account),
                    subjects=(Subject(account=f.event.acct, untrusted=True),), api=api_ref(f),
                    what="one account is tried from many unfamiliar addresses", numbers=numbers,
                    events=tuple(account.sample), score=worst(numbers), campaign=f"account {f.event.acct}",
                )  # fmt: skip
        return None


def _action(account: Account) -> Action:
    """Refuse strangers where the owner has a device that tells him from them."""
    return Action.BLOCK if any(home.startswith("d:") for home in account.homes.at) else Action.CHALLENGE
