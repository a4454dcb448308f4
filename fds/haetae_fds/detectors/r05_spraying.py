"""R5: one secret tried on many accounts.

The secret itself cannot be refused at the gate; who brings it can: a client nobody established uses, and every
address it comes from.
"""

from haetae_fds.decision import Action, Subject
from haetae_fds.detectors.r04_distributed_stuffing import RARE
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.features_login import single
from haetae_fds.finding import Detector, Finding, api_ref, at_address, number

ACCOUNTS = 10
SLOW_ACCOUNTS = 15


class Spraying(Detector):
    """One secret on at least 10 accounts in 10 minutes, or 15 in an hour, all failing, none familiar."""

    name = "spraying"
    wants = LOGIN

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        pw = f.pw
        if pw is None or pw.accounts is None or pw.accounts_long is None:
            return None
        for accounts, base in ((pw.accounts.count(f.now), ACCOUNTS), (pw.accounts_long.count(f.now), SLOW_ACCOUNTS)):
            limit = self.limit(f, base)
            if accounts < limit:
                continue
            subjects = [at_address(f, client=f.client if f.pop > 0 else None, strangers=True)]
            if f.client is not None and single(pw.clients) == f.client and f.share < RARE:
                subjects.append(Subject(client=f.client, untrusted=True))
            return self.found(
                f,
                "one secret is tried on many accounts",
                (number("accounts", accounts, limit),),
                *subjects,
                action=Action.BLOCK if f.pop == 0 or len(subjects) > 1 else Action.CHALLENGE,
                api=api_ref(f),
                events=pw.sample,
                campaign="spraying",
            )
        return None
