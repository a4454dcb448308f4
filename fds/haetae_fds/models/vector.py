"""What models see of one event: a fixed list of numbers, each with a fixed limit.

Rules kept: reading changes nothing and costs microseconds; a value lies in [0, limit] and is never NaN; limits are
constants, not learnt, so that a flood of traffic cannot move the scale under a model. The list has a name of its own
(`VECTOR`), which saved models carry: a model is never given numbers it was not made for. Not here: learning, scoring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import log1p
from typing import Final

from haetae_fds.counters import Decay, Recent
from haetae_fds.facts import FAULT, LOGIN, MISSING, OBJECT, SESSION, SIGNUP, Facts
from haetae_fds.state import HOUR, MIN2, MIN10, Browse, Homes


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One number. `name` is what analysts and rule files call it; values are held to [0, `limit`].

    `rises`: a model must not find a caller less suspicious because this grew. `counts`: large for few, so that models
    see its logarithm.
    """

    name: str
    limit: float
    read: Callable[[Facts], float]
    rises: bool = False
    counts: bool = True

    def bounded(self, f: Facts) -> float:
        """Return the value of an event."""
        value = self.read(f)
        return min(value, self.limit) if value > 0 else 0.0  # NaN compares false

    def scaled(self, value: float) -> float:
        """Map a value to [0, 1], the same for everybody and always."""
        if not value > 0:
            return 0.0
        if self.counts:
            return min(1.0, log1p(value) / log1p(self.limit))
        return min(1.0, value / self.limit)


def _n(recent: Recent | None, now: int) -> float:
    return 0.0 if recent is None else float(recent.count(now))


def _d(decay: Decay | None, now: int, tau: float) -> float:
    return 0.0 if decay is None else decay.read(now, tau)


def _share(failed: float, passed: float) -> float:
    return failed / (failed + passed) if failed >= 1 else 0.0


def _creds(f: Facts) -> float:
    return 0.0 if f.account is None else _n(f.account.creds, f.now)


def _creds_slow(f: Facts) -> float:
    return 0.0 if f.account is None else _n(f.account.creds_slow, f.now)


def _creds_home(f: Facts) -> float:
    return 0.0 if f.account is None else _n(f.account.creds_home, f.now)


def _account_ips(f: Facts) -> float:
    return 0.0 if f.account is None else _n(f.account.ips_slow, f.now)


def _place_accounts(f: Facts) -> float:
    return 0.0 if f.place is None or f.place.logins is None else _n(f.place.logins.accounts, f.now)


def _place_accounts_long(f: Facts) -> float:
    return 0.0 if f.place is None or f.place.logins is None else _n(f.place.logins.accounts_long, f.now)


def _place_failed_share(f: Facts) -> float:
    if f.place is None or f.place.logins is None:
        return 0.0
    logins = f.place.logins
    return _share(logins.failed.read(f.now, MIN10), logins.ok.read(f.now, MIN10))


def _place_nobody(f: Facts) -> float:
    return 0.0 if f.place is None or f.place.logins is None else _n(f.place.logins.nobody, f.now)


def _net_accounts(f: Facts) -> float:
    return 0.0 if f.net is None or f.net.logins is None else _n(f.net.logins.accounts_long, f.now)


def _net_nobody(f: Facts) -> float:
    return 0.0 if f.net is None or f.net.logins is None else _n(f.net.logins.nobody, f.now)


def _net_offenders(f: Facts) -> float:
    return 0.0 if f.net is None else _n(f.net.offenders, f.now)


def _cluster_ips(f: Facts) -> float:
    return 0.0 if f.cluster is None else _n(f.cluster.ips, f.now)


def _cluster_accounts(f: Facts) -> float:
    return 0.0 if f.cluster is None else _n(f.cluster.accounts, f.now)


def _cluster_accounts_long(f: Facts) -> float:
    return 0.0 if f.cluster is None else _n(f.cluster.accounts_long, f.now)


def _cluster_failed_share(f: Facts) -> float:
    c = f.cluster
    return 0.0 if c is None else _share(c.failed_long.read(f.now, HOUR), c.ok_long.read(f.now, HOUR))


def _pw_accounts(f: Facts) -> float:
    return 0.0 if f.pw is None else _n(f.pw.accounts_long, f.now)


def _surge(f: Facts) -> float:
    return 0.0 if f.surge is None else f.surge[0] / max(1.0, f.surge[1])


def _age(homes: Homes, now: int) -> float:
    since = homes.known_since()
    return 0.0 if since is None else (now - since) / HOUR


def _device_age(f: Facts) -> float:
    return 0.0 if f.device is None else _age(f.device.homes, f.now)


def _account_age(f: Facts) -> float:
    return 0.0 if f.account is None else _age(f.account.homes, f.now)


def _user_age(f: Facts) -> float:
    return 0.0 if f.user is None or not f.user.first_good else (f.now - f.user.first_good) / HOUR


def _strange_net(f: Facts) -> float:
    return float(f.datacentre)


def _mobile(f: Facts) -> float:
    return float(f.mobile)


def _pair_faults(f: Facts) -> float:
    return 0.0 if f.fault_pair is None else f.fault_pair.weight.read(f.now, MIN2 * 2.5)


def _place_faults(f: Facts) -> float:
    return 0.0 if f.place is None or f.place.faults is None else f.place.faults.weight.read(f.now, MIN2 * 2.5)


def _fault_kinds(f: Facts) -> float:
    if f.fault_pair is None:
        return 0.0
    return float(sum(at > f.now - MIN10 for at in f.fault_pair.kinds.values()))


def _claimed(f: Facts) -> float:
    return 0.0 if f.place is None or f.place.faults is None else _n(f.place.faults.claimed, f.now)


def _others_faulty(f: Facts) -> float:
    """Established devices of the version with a fault right now: many of them are our own mistake."""
    if f.version is None:
        return 0.0
    return max((_n(faulty, f.now) for faulty in f.version.faulty.values()), default=0.0)


def _missing(f: Facts) -> float:
    return 0.0 if f.place is None or f.place.missing is None else _n(f.place.missing.paths_long, f.now)


def _browse(f: Facts) -> Browse | None:
    return None if f.pair is None else f.pair.browse


def _objects(f: Facts) -> float:
    browse = _browse(f)
    return 0.0 if browse is None else _n(browse.objects, f.now)


def _objects_hour(f: Facts) -> float:
    browse = _browse(f)
    return 0.0 if browse is None else float(browse.hour)


def _objects_usual(f: Facts) -> float:
    browse = _browse(f)
    if browse is None or f.api is None or f.api.objects.total < 100:
        return 0.0
    return browse.objects.count(f.now) / max(1.0, f.api.objects.quantile(0.999))


def _denied(f: Facts) -> float:
    browse = _browse(f)
    return 0.0 if browse is None else _d(browse.denied, f.now, MIN10)


def _items(f: Facts) -> float:
    browse = _browse(f)
    return 0.0 if browse is None else float(browse.items)


def _run(f: Facts) -> float:
    browse = _browse(f)
    return 0.0 if browse is None else float(browse.run)


def _regular(f: Facts) -> float:
    browse = _browse(f)
    return float(browse is not None and browse.regular())


def _pace(f: Facts) -> float:
    """Requests a second, from the mean gap on this API."""
    browse = _browse(f)
    return 0.0 if browse is None or browse.gaps < 4 else 1000.0 / max(1.0, browse.gap_mean)


def _minute(f: Facts) -> float:
    return 0.0 if f.pair is None else float(f.pair.minute)


def _minute_usual(f: Facts) -> float:
    return 0.0 if f.pair is None else f.pair.minute / max(10.0, f.pair.usual)


def _session_uses(f: Facts) -> float:
    if f.session is None or not f.session.others:
        return 0.0
    return float(sum(at > f.now - MIN10 for at in f.session.others.values()))


def _doubt(f: Facts) -> float:
    doubt = f.user.suspicion if f.user is not None else None
    if doubt is None and f.account is not None:
        doubt = f.account.suspicion
    if doubt is None or doubt.until <= f.now:
        return 0.0
    return 2.0 if doubt.strong else 1.0


def _signups(f: Facts) -> float:
    place = 0.0 if f.place is None or f.place.signups is None else _n(f.place.signups.names, f.now)
    device = 0.0 if f.device is None else _n(f.device.signups, f.now)
    return max(place, device)


def _word(word: str) -> Callable[[Facts], float]:
    def read(f: Facts) -> float:
        return float(f.event.auth is not None and f.event.auth.value == word)

    return read


def _trigger(bit: int) -> Callable[[Facts], float]:
    def read(f: Facts) -> float:
        return float(bool(f.triggers & bit))

    return read


def _flag(name: str, read: Callable[[Facts], float], *, rises: bool = False) -> Feature:
    return Feature(name=name, limit=1.0, read=read, rises=rises, counts=False)


def _count(name: str, limit: float, read: Callable[[Facts], float], *, rises: bool = False) -> Feature:
    return Feature(name=name, limit=limit, read=read, rises=rises)


FEATURES: Final[tuple[Feature, ...]] = (
    _flag("login", _trigger(LOGIN)),
    _flag("login_failed", lambda f: float(f.failed)),
    _flag("login_new_failure", lambda f: float(f.fresh), rises=True),
    _flag("login_unknown_name", _word("nouser"), rises=True),
    _flag("login_familiar", lambda f: float(f.familiar)),
    _flag("login_history", lambda f: float(f.history)),
    _count("account_secrets_10m", 100, _creds, rises=True),
    _count("account_secrets_6h", 200, _creds_slow, rises=True),
    _count("account_secrets_at_home_10m", 50, _creds_home),
    _count("account_addresses_6h", 200, _account_ips, rises=True),
    _count("account_age_hours", 720, _account_age),
    _count("address_accounts_10m", 500, _place_accounts, rises=True),
    _count("address_accounts_6h", 2000, _place_accounts_long, rises=True),
    _flag("address_failed_share_10m", _place_failed_share, rises=True),
    _count("address_unknown_names_10m", 200, _place_nobody, rises=True),
    _count("network_accounts_6h", 5000, _net_accounts, rises=True),
    _count("network_unknown_names_10m", 500, _net_nobody, rises=True),
    _count("network_offenders_1h", 256, _net_offenders, rises=True),
    _count("client_addresses_2m", 500, _cluster_ips, rises=True),
    _count("client_accounts_2m", 1000, _cluster_accounts, rises=True),
    _count("client_accounts_1h", 5000, _cluster_accounts_long, rises=True),
    _flag("client_failed_share_1h", _cluster_failed_share, rises=True),
    _flag("client_good_share", lambda f: f.share),
    _count("secret_accounts_1h", 200, _pw_accounts, rises=True),
    _count("service_failures_over_bound", 100, _surge),
    _count("address_good_identities", 1000, lambda f: float(f.pop)),
    _flag("pair_established", lambda f: float(f.trusted)),
    _count("device_age_hours", 720, _device_age),
    _count("user_age_hours", 720, _user_age),
    _flag("network_rented", _strange_net),
    _flag("network_mobile", _mobile),
    _flag("fault", _trigger(FAULT), rises=True),
    _count("pair_faults", 100, _pair_faults, rises=True),
    _count("address_faults", 500, _place_faults, rises=True),
    _count("fault_kinds_10m", 10, _fault_kinds, rises=True),
    _count("address_claimed_devices_10m", 100, _claimed, rises=True),
    _count("version_faulty_devices", 1000, _others_faulty),
    _flag("missing_path", _trigger(MISSING)),
    _count("address_missing_paths_10m", 500, _missing, rises=True),
    _flag("object_heavy", _trigger(OBJECT)),
    _count("objects_10m", 5000, _objects, rises=True),
    _count("objects_1h", 20000, _objects_hour, rises=True),
    _count("objects_over_usual", 100, _objects_usual, rises=True),
    _count("denied_10m", 500, _denied, rises=True),
    _count("items", 100000, _items, rises=True),
    _count("equal_steps", 1000, _run, rises=True),
    _flag("regular_gaps", _regular),
    _count("requests_per_second", 100, _pace),
    _count("requests_minute", 10000, _minute),
    _count("requests_over_usual", 1000, _minute_usual),
    _flag("session_moved", _trigger(SESSION)),
    _count("session_other_uses_10m", 8, _session_uses, rises=True),
    Feature(name="login_doubt", limit=2.0, read=_doubt, rises=True, counts=False),
    _flag("sensitive_call", lambda f: float(f.sensitive)),
    _flag("sign_up", _trigger(SIGNUP)),
    _count("signups_10m", 200, _signups, rises=True),
)  # fmt: skip
NAMES: Final = tuple(feature.name for feature in FEATURES)
INDEX: Final = {name: index for index, name in enumerate(NAMES)}
#: Names this list of features, in saved state and in model files.
VECTOR: Final = blake2b(
    repr([(feature.name, feature.limit, feature.counts) for feature in FEATURES]).encode(), digest_size=8
).hexdigest()


def vector(f: Facts) -> list[float]:
    """Return the numbers of one event, in the order of `FEATURES`, in their own units."""
    return [feature.bounded(f) for feature in FEATURES]


def scaled(row: Sequence[float]) -> dict[str, float]:
    """Return a row by name, every number in [0, 1]."""
    return {feature.name: feature.scaled(value) for feature, value in zip(FEATURES, row, strict=True)}
