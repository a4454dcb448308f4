"""Log-in features: what one log-in adds to the account, the address, the network, the client and the secret.

Rules kept: the outcome is the auth service's word; what counts as a failure is a *new* (account, secret) pair, so that
a client repeating an old password is one failure and not a thousand; log-ins from where an account is at home are
never evidence against an address. Not here: limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from haetae_fds.counters import Recent, note, unusual
from haetae_fds.facts import FAILED, PASSED, Facts
from haetae_fds.features_device import device_missing
from haetae_fds.state import (
    DAY,
    HOUR,
    HOUR6,
    MIN2,
    MIN10,
    SETTLED,
    Account,
    Cluster,
    Homes,
    Logins,
    Place,
    Suspicion,
    User,
)
from haetae_fds.words import AuthOutcome

if TYPE_CHECKING:
    from haetae_fds.features import Features

MAX_PENDING: Final = 10_000
MAX_NAMES: Final = 16
STRAYS: Final = "strays"  # a client has "|" in it
_NEW_DEVICE_S: Final = 86_400
_JUST_ENROLLED_S: Final = 3_600


def home_of(f: Facts) -> tuple[str, ...]:
    """Return the contexts of an event, the most telling first."""
    event = f.event
    contexts = [f"i:{f.ip}", f"n:{f.net_key}"]
    if event.asn is not None:
        contexts.append(f.system)
    if event.dev is not None and event.dev_v:
        contexts.append(f"d:{event.dev}")
    # The client is last: others have the same one.
    contexts.append(f"c:{f.client}")
    return tuple(contexts)


def update_login(features: Features, f: Facts) -> None:
    """Count one log-in."""
    event, now = f.event, f.now
    word = event.auth.value if event.auth is not None else ""
    f.failed, f.passed = word in FAILED, word in PASSED
    if f.api is not None:
        f.api.login += 1
    if event.acct is None:
        return
    account = f.account = features.accounts.touch(event.acct, now)
    if f.passed and event.user is not None:
        account.user = event.user
    _familiarity(features, f, account)
    if f.failed:
        _failed(f, account, word)
    if not f.familiar:
        _cluster(features, f)
    for place in (f.place, f.net):
        if place is not None:
            _place(f, place, account, counts=f.history or now - features.began < HOUR)
    f.surge = service_failures(f)
    if f.passed:
        _passed(features, f, account)


def _familiarity(features: Features, f: Facts, account: Account) -> None:
    homes = [account.homes]
    user = features.users.get(account.user) if account.user is not None else None
    if user is not None:
        homes.append(user.homes)
    f.history = any(f.now - since >= SETTLED for h in homes if (since := h.known_since()) is not None)
    f.known_device = any(_at_home(h, f"d:{f.event.dev}", f.now) for h in homes) if f.event.dev_v else False
    f.familiar = f.known_device or any(_knows(h, f) for h in homes)


def _at_home(homes: Homes, context: str, now: int) -> bool:
    return homes.settled(context, now)


def _knows(homes: Homes, f: Facts) -> bool:
    now = f.now
    if homes.settled(f"i:{f.ip}", now):
        return True
    if f.client is None or not homes.settled(f"c:{f.client}", now):
        return False
    if f.device is not None and f.event.dev_age is not None and f.event.dev_age < _NEW_DEVICE_S:
        return homes.settled(f"n:{f.net_key}", now)
    # Phones change addresses all day; the same client on the same carrier or network is the same person's habit.
    return homes.settled(f"n:{f.net_key}", now) or (f.event.asn is not None and homes.settled(f.system, now))


def _failed(f: Facts, account: Account, word: str) -> None:
    now, event = f.now, f.event
    secret = event.cred_fp or event.id
    if account.creds_long is None:
        account.creds_long = Recent(DAY)
    f.fresh = account.creds_long.add(secret, now)
    if not f.fresh:
        return
    if f.familiar:
        if account.creds_home is None:
            account.creds_home = Recent(MIN10)
        account.creds_home.add(secret, now)
    elif word != "nouser":
        if account.creds is None or account.creds_slow is None or account.ips is None or account.ips_slow is None:
            account.creds, account.creds_slow = Recent(MIN10), Recent(HOUR6)
            account.ips, account.ips_slow = Recent(MIN10), Recent(HOUR6)
        account.creds.add(secret, now)
        account.creds_slow.add(secret, now)
        account.ips.add(f.ip, now)
        account.ips_slow.add(f.ip, now)
        if f.client is not None:
            tally(account.clients, f.client)
    note(account.sample, event.id)


def _cluster(features: Features, f: Facts) -> None:
    if f.cluster is not None:
        _count(f.cluster, f)
        if f.strange:
            f.strays = features.clusters.touch(STRAYS, f.now)
            _count(f.strays, f)
    if f.event.pw_fp is not None and f.failed and f.fresh:
        f.pw = features.secrets.touch(f.event.pw_fp, f.now)
        _count(f.pw, f, short=MIN10)


def _count(cluster: Cluster, f: Facts, short: int = MIN2) -> None:
    now, event = f.now, f.event
    if cluster.ips is None or cluster.accounts is None or cluster.ips_long is None or cluster.accounts_long is None:
        cluster.ips, cluster.accounts = Recent(short), Recent(short)
        cluster.ips_long, cluster.accounts_long = Recent(HOUR), Recent(HOUR)
    # Whose second factor fails has brought the right secret, as hardly anything of a list does.
    right = f.passed or event.auth == AuthOutcome.MFA_FAIL
    if f.fresh and f.failed and not right:
        cluster.failed.add(now, short)
        cluster.failed_long.add(now, HOUR)
        cluster.ips.add(f.ip, now)
        cluster.ips_long.add(f.ip, now)
        cluster.accounts.add(event.acct or "", now)
        cluster.accounts_long.add(event.acct or "", now)
        note(cluster.sample, event.id)
        if f.client is not None:
            tally(cluster.clients, f.client)
        if f.api_key is not None:
            tally(cluster.apis, f.api_key)
    elif f.passed or (f.fresh and right):
        # Who opens an account after all was not guessing at it.
        cluster.accounts.discard(event.acct or "")
        cluster.accounts_long.discard(event.acct or "")
        cluster.ok.add(now, short)
        cluster.ok_long.add(now, HOUR)


def _place(f: Facts, place: Place, account: Account, *, counts: bool) -> None:
    """Count a log-in at an address or network; a success speaks for it (`counts`) if the account is known for long."""
    now, event = f.now, f.event
    if f.familiar and not f.passed:
        return
    if place.logins is None:
        place.logins = Logins()
    logins = place.logins
    if f.passed:
        # Whose slips end in signing in was no guess: a list's accounts stay shut.
        for tried in (logins.accounts, logins.accounts_long):
            tried.discard(event.acct or "")
        if counts and (now - account.ok_at > MIN10 or not account.ok_at):
            logins.ok.add(now, MIN10)
            logins.ok_long.add(now, HOUR6)
        return
    if not f.fresh:
        logins.repeats.add(now, MIN10)
        if event.acct is not None and event.auth is not None and event.auth.value != "nouser":
            if logins.stubborn is None:
                logins.stubborn = Recent(HOUR6)
            logins.stubborn.add(event.acct, now)
        return
    acct = event.acct or ""
    logins.accounts.add(acct, now)
    logins.accounts_long.add(acct, now)
    logins.failed.add(now, MIN10)
    logins.failed_long.add(now, HOUR6)
    if event.auth is not None and event.auth.value == "nouser" and logins.nobody.add(acct, now):
        logins.nobody_rate.add(now, MIN2)
    if f.client is not None:
        tally(logins.clients, f.client)
    if f.api_key is not None:
        tally(logins.apis, f.api_key)
    note(logins.sample, event.id)


def _passed(features: Features, f: Facts, account: Account) -> None:
    event, now = f.event, f.now
    account.ok_at = max(account.ok_at, now)
    account.suspicion = _suspect(features, f, account)
    if event.user is not None:
        account.user = event.user
        user = features.users.touch(event.user, now)
        user.account = event.acct
        if account.suspicion is not None:
            user.suspicion = account.suspicion
        f.user, f.user_key = user, event.user
    else:
        if len(features.pending) >= MAX_PENDING:
            del features.pending[next(iter(features.pending))]
        features.pending[f"{f.ip} {event.dev or f.client}"] = (event.acct or "", now)


def _suspect(features: Features, f: Facts, account: Account) -> Suspicion | None:
    """Say whether this success may not be the owner's; `strong` when more than being new speaks against it."""
    if f.known_device or f.familiar:
        return None
    creds = 0 if account.creds is None else account.creds.count(f.now)
    slow = 0 if account.creds_slow is None else account.creds_slow.count(f.now)
    guessed = creds >= 3 or slow >= 6
    user = features.users.get(account.user) if account.user is not None else None
    homes = [account.homes] if user is None else [account.homes, user.homes]
    bare = user is not None and device_missing(features, f, user)
    stranger = _stranger(f, homes, account.user, bare=bare) if f.history else _out_of_nowhere(features, f, account)
    if not guessed and not stranger:
        return None
    doubt = Suspicion()
    doubt.until = f.now + (2 * MIN10 if guessed else 3 * MIN10 // 2)
    doubt.creds = max(creds, slow)
    place, cluster = f.place, f.cluster
    rough = f.datacentre or (
        place is not None
        and (place.hot > f.now or (place.logins is not None and place.logins.failed.read(f.now, MIN10) >= 3))
    )
    lookalikes = cluster is not None and cluster.hot > f.now
    doubt.strong = guessed or rough or lookalikes
    doubt.signs = 2 * stranger + rough + lookalikes
    doubt.reason = (
        "success after many secrets" if guessed else _new(bare=bare) + (" of bad repute" if rough or lookalikes else "")
    )
    note(doubt.sample, f.event.id)
    return doubt


def _new(*, bare: bool) -> str:
    return f"{'without the device there always was,' if bare else 'new device'} on a new network"


def near_of(f: Facts) -> tuple[str, ...]:
    """Return the contexts that make the place of an event familiar."""
    return (f"i:{f.ip}", f"n:{f.net_key}", *((f.system,) if f.event.asn is not None else ()))


def stranger_of(features: Features, f: Facts, user: User) -> Suspicion | None:
    """Judge a user at the first call after a log-in of which only the account name was known."""
    since = user.homes.known_since()
    bare = device_missing(features, f, user)
    if since is None or f.now - since < SETTLED or not _stranger(f, [user.homes], f.user_key, bare=bare):
        return None
    doubt = Suspicion()
    doubt.until = f.now + 3 * MIN10 // 2
    doubt.reason, doubt.signs = _new(bare=bare), 2
    note(doubt.sample, f.event.id)
    return doubt


def _stranger(f: Facts, homes: list[Homes], owner: str | None, *, bare: bool) -> bool:
    """Say whether neither the device nor the network is one that was ever good for these histories.

    A device that was enrolled more than a day ago is nobody's new telephone, unless somebody else has used it. Without
    a verified device its client stands for it, unless the owner was never seen without one (`bare`).
    """
    event, device = f.event, f.device
    if device is not None:
        if any(f"d:{event.dev}" in one.at for one in homes):
            return False
        others = device.owner is not None and owner is not None and device.owner != owner
        if event.dev_age is not None and event.dev_age >= _NEW_DEVICE_S and not others:
            return False
        # A carrier's or provider's customers are many: the system alone makes nobody familiar with a new device.
        near: tuple[str, ...] = (f"i:{f.ip}", f"n:{f.net_key}")
    else:
        if not bare and f.client is not None and any(f"c:{f.client}" in one.at for one in homes):
            return False
        near = near_of(f)
    return not any(context in one.at for one in homes for context in near)


def _out_of_nowhere(features: Features, f: Facts, account: Account) -> bool:
    """Say whether an account nobody has seen in all the time comes with a device that was enrolled just now."""
    age = f.event.dev_age
    if f.device is None or age is None or age > _JUST_ENROLLED_S or account.made_at:
        return False
    return f.now - features.began > HOUR and not f.history


def service_failures(f: Facts) -> tuple[float, float] | None:
    """Count an unfamiliar failure of the service; return (count, bound) of ten minutes when it is over its bound.

    The bound follows the service's own level slowly, and hardly at all while over it (Anscombe's transform, so that
    nothing is divided by a spread that may be zero).
    """
    api, now = f.api, f.now
    if api is None or not f.fresh or f.familiar:
        return None
    if now - api.fail_at >= MIN10:
        if api.fail_at:
            mean = api.fail_mean
            quiet = mean is None or api.fail_now <= unusual(mean)
            weight = 0.2 if quiet else 0.02
            api.fail_mean = float(api.fail_now) if mean is None else mean + weight * (api.fail_now - mean)
        api.fail_at, api.fail_now = now, 0
    api.fail_now += 1
    if api.fail_mean is None:
        return None
    bound = unusual(api.fail_mean)
    return (api.fail_now, bound) if api.fail_now > bound else None


def settle_login(f: Facts) -> None:
    """After detectors have judged a successful log-in as harmless: the account is at home here."""
    account = f.account
    if account is None:
        return
    for context in home_of(f):
        account.homes.add(context, f.now)
    if f.known_device:
        for evidence in (account.creds, account.creds_slow, account.creds_home, account.ips, account.ips_slow):
            if evidence is not None:
                evidence.clear()
        account.sample.clear()


def tally(counts: dict[str, int], name: str) -> None:
    """Count names, the first sixteen of them."""
    if name in counts or len(counts) < MAX_NAMES:
        counts[name] = counts.get(name, 0) + 1


def single(counts: dict[str, int], share: float = 0.95) -> str | None:
    """Return the name that makes up at least `share` of all counts, if one does."""
    total = sum(counts.values())
    for name, count in counts.items():
        if count >= share * total:
            return name
    return None
