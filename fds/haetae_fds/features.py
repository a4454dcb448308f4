"""Turn one event into updated state and the `Facts` detectors read.

Rules kept: event time only; an event that was refused by a policy or limit never arrives here; identities that were
not verified are looked up, never given state of their own beyond bounded evidence; O(1) per event. Families of
features that only some events need live in `features_login`, `features_faults` and `features_browse`.
"""

from __future__ import annotations

import re
from typing import Final

from haetae_fds.address import keys_of
from haetae_fds.counters import Recent, note
from haetae_fds.event import Event
from haetae_fds.facts import DECOY, FAULT, LOGIN, MISSING, SESSION, USER, Facts
from haetae_fds.features_browse import update_browse
from haetae_fds.features_device import device_missing, note_device
from haetae_fds.features_faults import faults_of, update_faults
from haetae_fds.features_login import home_of, near_of, stranger_of, update_login
from haetae_fds.features_signup import update_signup
from haetae_fds.novelty import Asked
from haetae_fds.settings import EngineSettings
from haetae_fds.state import (
    DAY,
    HOUR,
    MIN10,
    MONTH,
    SETTLED,
    Account,
    ApiState,
    Carriers,
    Cluster,
    Device,
    Faults,
    Missing,
    Pair,
    Place,
    Session,
    Suspicion,
    User,
    Version,
)
from haetae_fds.tables import Table

MUTATING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_APIS: Final = 4096
MAX_CLUSTERS: Final = 50_000
MAX_SENSITIVE: Final = 64


class Features:
    """All state, and how events change it."""

    def __init__(self, settings: EngineSettings) -> None:
        size = settings.max_states
        self.places: Table[Place] = Table(Place, size=size, idle=DAY)
        self.nets: Table[Place] = Table(Place, size=size, idle=DAY)
        self.devices: Table[Device] = Table(Device, size=size, idle=MONTH)
        self.users: Table[User] = Table(User, size=size, idle=MONTH)
        self.accounts: Table[Account] = Table(Account, size=size, idle=MONTH)
        self.sessions: Table[Session] = Table(Session, size=size, idle=6 * HOUR)
        self.clusters: Table[Cluster] = Table(Cluster, size=MAX_CLUSTERS, idle=DAY)
        self.secrets: Table[Cluster] = Table(Cluster, size=MAX_CLUSTERS, idle=6 * HOUR)
        self.pairs: Table[Pair] = Table(Pair, size=size * 4, idle=DAY)
        self.fault_pairs: Table[Faults] = Table(Faults, size=size // 4, idle=HOUR)
        self.versions: Table[Version] = Table(Version, size=1000, idle=DAY)
        self.apis: Table[ApiState] = Table(ApiState, size=MAX_APIS, idle=MONTH)
        self.sensitive_apis: dict[str, ApiState] = {}
        self.pending: dict[str, tuple[str, int]] = {}
        self.asked = Asked()
        self.good = Recent(DAY)
        self.carriers = Carriers()
        self.requests = 0
        self.began = 0
        self._patterns: tuple[tuple[str, ...], ...] = ()
        self.adopt(settings)

    def adopt(self, settings: EngineSettings) -> None:
        """Go on under these settings; how large tables may grow stays as it was."""
        self.settings = settings
        patterns = (settings.sensitive, settings.signup, settings.decoy_routes)
        if patterns == self._patterns:
            return
        self._patterns = patterns
        self._sensitive, self._signup, self._decoys = (_either(one) for one in patterns)
        self.sensitive_apis.clear()
        for key, api in self.apis.rows.items():
            self._judge(key, api)

    def update(self, event: Event, now: int) -> Facts:
        """Count one served event in, and say what is known about it."""
        f = Facts(event, now)
        self.requests += 1
        if not self.began:
            self.began = now
        self._locate(f)
        self._identify(f)
        self._api(f)
        f.faults = faults_of(event)
        if f.faults:
            f.triggers |= FAULT
            update_faults(self, f)
        elif f.device is not None and event.status is not None and event.status >= 500:
            f.device.unanswered = (f.ip, now)
        signup = f.api is not None and f.api.signup
        if signup or (event.auth is None and event.acct is not None):
            self._compare(f)
            update_signup(self, f)
        if event.auth is not None:
            f.triggers |= LOGIN
            self._compare(f)
            update_login(self, f)
        if event.status == 404 and event.route is None:
            self._missing(f)
        else:
            update_browse(self, f)
        if event.sess is not None:
            self._session(f)
        if f.user is not None and f.user_key == event.user and event.auth is None:
            self._suspected(f, f.user)
        self._decoy(f)
        if not f.faults and (event.status is None or event.status < 400):
            if f.place is not None and not f.failed:
                f.place.fine += 1
            self._good(f)
        if f.triggers:
            self._compare(f)
        return f

    def _compare(self, f: Facts) -> None:
        """Compare the client with those of everybody established."""
        f.active = self.good.count(f.now)
        if f.cluster is not None and f.cluster.good is not None:
            f.share = f.cluster.good.count(f.now) / max(1, f.active)

    def _locate(self, f: Facts) -> None:
        event = f.event
        if event.ip is not None:
            f.ip, f.net_key = keys_of(event.ip)
        if f.ip:
            place = f.place = self.places.touch(f.ip, f.now)
            f.net = self.nets.touch(f.net_key, f.now)
            place.net = f.net_key
            if event.ipc is not None:
                place.kind = event.ipc.value
            if place.good is not None:
                f.pop = place.good.count(f.now)
        f.system = f"a:{event.asn}" if event.asn is not None else f"n:{f.net_key}"
        if event.ja4 is not None or event.ua is not None or event.hdr is not None:
            f.client = f"{event.ja4 or ''}|{event.ua or ''}|{event.hdr or ''}"
            f.cluster = self.clusters.touch(f.client, f.now)

    def _identify(self, f: Facts) -> None:
        event, now = f.event, f.now
        if event.dev is not None:
            if event.dev_v:
                f.device = f.claimed = self.devices.touch(event.dev, now)
            else:
                f.claimed = self.devices.get(event.dev)
            if f.claimed is not None:
                homes = f.claimed.homes
                f.trusted = homes.settled(f"i:{f.ip}", now) or homes.settled(f.system, now)
                # Who only claims the device, with the same app but another way of speaking, is not the device.
                known = f.claimed.client
                if not event.dev_v and known is not None and f.client != known and event.ver == f.claimed.ver:
                    f.trusted = False
        if event.user_v and event.user is not None:
            f.user_key = event.user
            f.user = self.users.touch(event.user, now)
            f.actor = f"u:{event.user}"
        elif event.san is not None:
            f.actor = f"s:{event.san}"
        elif f.device is not None:
            f.actor = f"d:{event.dev}"
        else:
            f.actor = f"i:{f.ip}"

    def _api(self, f: Facts) -> None:
        event = f.event
        if event.api is None and event.route is None:
            return
        f.api_key = event.api or event.route or ""
        known = self.apis.get(f.api_key)
        api = f.api = self.apis.touch(f.api_key, f.now)
        if known is None:
            api.gw, api.name, api.route = event.gw, event.api, event.route
            self._judge(f.api_key, api)
        elif api.gw != event.gw or api.route != event.route:
            _seen_elsewhere(api, event)
        api.requests += 1
        if f.user is not None:
            api.by_users += 1
            # A rare call that changes something and that only signed-in users make is worth a second look too.
            if api.mutating and not api.login:
                rare = api.requests * 20 < self.requests and api.by_users * 10 >= api.requests * 9
                f.sensitive = api.sensitive or rare

    def _judge(self, key: str, api: ApiState) -> None:
        """Say what an API is for, by its name."""
        api.mutating = key.partition(" ")[0] in MUTATING
        api.signup = self._signup.fullmatch(key) is not None
        api.sensitive = self._sensitive.fullmatch(key) is not None
        if api.sensitive and len(self.sensitive_apis) < MAX_SENSITIVE:
            self.sensitive_apis[key] = api

    def _missing(self, f: Facts) -> None:
        place, event = f.place, f.event
        if place is None:
            return
        if place.missing is None:
            place.missing = Missing()
        missing = place.missing
        path = f"{event.api or ''} {event.obj or ''}" if event.api or event.obj else event.id
        missing.paths.add(path, f.now)
        missing.paths_long.add(path, f.now)
        note(missing.sample, event.id)
        f.triggers |= MISSING

    def _session(self, f: Facts) -> None:
        event, now = f.event, f.now
        if event.sess is None or f.client is None or (f.user is None and f.device is None):
            return
        session = f.session = self.sessions.touch(event.sess, now)
        dev = event.dev if event.dev_v else None
        use = (f.client, f.system, f.ip, dev)
        first = session.first
        if first is None:
            session.first, session.first_at = use, now
            return
        if self._bare(f, first):
            # Whoever that is must not pass for the owner's last use; what was refused has harmed nobody.
            f.bare = event.status is None or event.status < 400
            if f.bare:
                note(session.sample, event.id)
                f.triggers |= SESSION
            return
        if first[0] == f.client or (dev is not None and dev == first[3]):
            # The same client, on the move perhaps.
            if first[1] != f.system and (dev is None or dev != first[3]):
                _turn(f, session, first[1])
            session.first, session.first_at = use, max(now, session.first_at)
            if session.others or session.turns is not None:
                f.triggers |= SESSION
            return
        if first[1] == f.system:
            return
        if session.others is None:
            session.others = {}
        session.others.pop(use, None)
        if len(session.others) >= 8:
            del session.others[next(iter(session.others))]
        session.others[use] = now
        note(session.sample, event.id)
        f.triggers |= SESSION

    def _bare(self, f: Facts, first: tuple[str, str, str, str | None]) -> bool:
        """Say whether the owner's client goes on with a session where he never was, without the device it had.

        Somebody else's device is none of his.
        """
        client, system, _, device = first
        if f.user is None or device is None or client != f.client or system == f.system:
            return False
        other = f.device is not None and f.event.dev != device and f.device.owner not in (None, f.user_key)
        homes = f.user.homes.at
        return (other or device_missing(self, f, f.user)) and not any(context in homes for context in near_of(f))

    def _decoy(self, f: Facts) -> None:
        event, settings = f.event, self.settings
        if event.acct is not None and event.acct in settings.decoy_accounts:
            f.decoy = "account"
        elif event.obj is not None and event.obj in settings.decoy_objects:
            f.decoy = "object"
        elif settings.decoy_routes and any(
            name is not None and self._decoys.fullmatch(name) for name in (event.route, event.api)
        ):
            f.decoy = "route"
        else:
            return
        f.triggers |= DECOY

    def _good(self, f: Facts) -> None:
        """Let a good request of a verified identity add to histories, at most every minute per context."""
        event, now = f.event, f.now
        if f.user is not None:
            self._good_user(f, f.user)
        if f.device is None:
            return
        device = f.device
        if device.good_at and now - device.good_at < 60_000 and f"i:{f.ip}" in device.homes.at:
            return
        device.good_at = max(device.good_at, now)
        device.homes.add(f"i:{f.ip}", now)
        device.homes.add(f.system, now)
        device.ver, device.client = event.ver, f.client
        if device.owner is None:
            device.owner = f.user_key
        if event.dev is not None:
            self.version_of(f).active.add(event.dev, now)
            self.every_version(f).active.add(event.dev, now)

    def _good_user(self, f: Facts, user: User) -> None:
        event, now = f.event, f.now
        if user.suspicion is not None or f.bare:
            return
        ctx = (event.dev if event.dev_v else None, f.ip)
        if user.ctx == ctx and now - user.ctx_at < 60_000:
            return
        user.ctx, user.ctx_at = ctx, max(now, user.ctx_at)
        user.good_at = max(now, user.good_at)
        if f.device is None:
            user.bare_at = max(now, user.bare_at)
        if not user.first_good:
            user.first_good = now
        for context in home_of(f):
            user.homes.add(context, now)
        if now - user.first_good < SETTLED:
            return
        key = f.user_key or ""
        note_device(self, f, key)
        for place in (f.place, f.net):
            if place is not None:
                if place.good is None:
                    place.good = Recent(DAY)
                place.good.add(key, now)
        if f.cluster is not None:
            if f.cluster.good is None:
                f.cluster.good = Recent(DAY)
            f.cluster.good.add(key, now)
        self.good.add(key, now)

    def _suspected(self, f: Facts, user: User) -> None:
        """Follow a user whose log-in, or what he brings instead of one, may not have been the owner's."""
        if self.pending:
            self._link(f, user)
        if user.suspicion is None:
            user.suspicion = self._uninvited(f, user)
        doubt = user.suspicion
        if doubt is None:
            return
        if doubt.until <= f.now:
            user.suspicion = None
            return
        doubt.events += 1
        if f.sensitive:
            doubt.sensitive += 1
            note(doubt.sample, f.event.id)
        if f.sensitive or doubt.events == 1:
            f.triggers |= USER

    def _uninvited(self, f: Facts, user: User) -> Suspicion | None:
        """Judge a call of the owner's client where he never was, without the device he always had, and no log-in seen.

        A session that had the device is another matter: there it is known who is meant.
        """
        if f.bare or f.device is not None or f"c:{f.client}" not in user.homes.at:
            return None
        served = f.event.status is None or f.event.status < 400
        return stranger_of(self, f, user) if served and device_missing(self, f, user) else None

    def _link(self, f: Facts, user: User) -> None:
        """Remember which account name belongs to the user, from the log-in just before on the same client."""
        held = self.pending.pop(f"{f.ip} {f.event.dev or f.client}", None)
        if held is None or f.now - held[1] > MIN10:
            return
        name = held[0]
        user.account = name
        account = self.accounts.get(name)
        if account is not None:
            account.user = f.user_key
            doubt = account.suspicion or stranger_of(self, f, user)
            if doubt is not None and doubt.until > f.now:
                user.suspicion = doubt

    def version_of(self, f: Facts) -> Version:
        """Return the state of the event's app version."""
        return self.versions.touch(f.event.ver or "-", f.now)

    def every_version(self, f: Facts) -> Version:
        """Return the state of all versions: a key rotation hits them all."""
        return self.versions.touch("*", f.now)


def _turn(f: Facts, session: Session, before: str) -> None:
    """Note that a session went from where its user is at home to where he never was, or back."""
    if f.user is not None and f.user.homes.settled(before, f.now) != f.user.homes.settled(f.system, f.now):
        if session.turns is None:
            session.turns = Recent(MIN10)
        session.turns.add(f.event.id, f.now)
        note(session.sample, f.event.id)


def _seen_elsewhere(api: ApiState, event: Event) -> None:
    """An API that several gateways or routes lead to is one; what is decided about it holds wherever it is called."""
    if api.gw != event.gw:
        api.gw = ""
    if api.route != event.route and api.name is not None:
        api.route = None


def _either(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)", re.IGNORECASE)
