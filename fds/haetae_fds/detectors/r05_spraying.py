"""R5: one secret tried on many accounts.

Strangers who bring the secret are asked for more, wherever they come from, and so is an address that tries again. Where
nearly all attempts share a client that hardly any established identity has, its strangers are refused instead, whatever
secret comes next. Whose own secret it is proves himself by another factor. Should the secret be tried on nevertheless,
strangers with the client that the attempts share are asked for more, or else each address is refused.
"""

from haetae_fds.counters import stable
from haetae_fds.decision import Action, Subject
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.features_browse import busy_group
from haetae_fds.features_login import single
from haetae_fds.finding import Detector, Finding, api_ref, at_address, number
from haetae_fds.state import MIN10

ACCOUNTS = 10
FEW_ACCOUNTS = 6
PLACES = 5
USUAL = 0.05
SLOW_ACCOUNTS = 15
SHARE = 0.8
AGAIN = 2
GRACE = 10_000
THROUGH = 5


class Spraying(Detector):
    """One secret on at least 10 accounts in 10 minutes, or 15 in an hour, all failing, none familiar.

    From 5 addresses, 6 accounts are enough, or a twentieth of the service's usual failures: a careless secret that
    many have is typed wrongly by more people where more sign in.
    """

    name = "spraying"
    wants = LOGIN

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        pw = f.pw
        if pw is None or pw.accounts is None or pw.accounts_long is None:
            return None
        if (few := self._from_everywhere(f)) is not None:
            return few
        for accounts, base in ((pw.accounts.count(f.now), ACCOUNTS), (pw.accounts_long.count(f.now), SLOW_ACCOUNTS)):
            limit = self.limit(f, base)
            if accounts < limit:
                continue
            return self._found(f, accounts, limit)
        return None

    def _from_everywhere(self, f: Facts) -> Finding | None:
        """Judge few attempts that have nothing in common but the secret: neither account nor address."""
        pw, api = f.pw, f.api
        if pw is None or pw.accounts is None or pw.ips is None or api is None or api.fail_mean is None:
            return None
        if pw.ok.read(f.now, MIN10) >= 1 or pw.ips.count(f.now) < PLACES:
            return None
        limit = self.limit(f, min(ACCOUNTS, max(FEW_ACCOUNTS, USUAL * api.fail_mean)))
        accounts = pw.accounts.count(f.now)
        return self._found(f, accounts, limit) if accounts >= limit else None

    def _found(self, f: Facts, accounts: int, limit: float) -> Finding | None:
        """Choose who is meant: a tool's strangers, or the secret's and those of an address that tries again."""
        pw = f.pw
        if pw is None:
            return None
        alike = f.client is not None and single(pw.clients, SHARE) == f.client
        here = at_address(f, client=f.client if f.pop > 0 else None, strangers=True)
        logins = None if f.place is None else f.place.logins
        again = logins is not None and logins.accounts_long.count(f.now) >= AGAIN
        subjects, action = [here] if again else [], Action.CHALLENGE
        # Before much is known nobody can say whose client this is, and it would not be refused.
        if alike and f.rare and not f.narrow:
            subjects, action = [Subject(client=f.client, untrusted=True)], Action.BLOCK
        elif not _comes_through(f):
            subjects.append(Subject(pw_fp=f.event.pw_fp, untrusted=True))
        elif alike:
            subjects.append(Subject(client=f.client, untrusted=True))
        elif not again:
            subjects, action = [here], Action.CHALLENGE if f.pop else Action.BLOCK
        return self.found(
            f, "one secret is tried on many accounts", (number("accounts", accounts, limit),), *subjects,
            action=action, api=api_ref(f), events=pw.sample, campaign=f"secret {stable(f.event.pw_fp or ''):016x}",
        )  # fmt: skip


def _comes_through(f: Facts) -> bool:
    """Say whether a secret that was refused is tried on: by who is no stranger, or where nobody refuses secrets."""
    if f.api is None:
        return False
    group = f"secret {f.event.pw_fp}"
    busy_group(f.api, group, f.event.id, f.now)
    times = f.api.busy[group].items.values()
    return sum(at >= next(iter(times)) + GRACE for at in times) >= THROUGH
