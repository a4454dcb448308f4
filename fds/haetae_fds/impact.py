"""Whom a decision hits: good identities that its subject matches where they are at home, and who is refused beside it.

Rules kept: estimates from what is known at that moment. Whoever gave rise to a decision counts if he did what he always
does, whatever the subject is: a detector that finds fault with such people is wrong about others too. Not here: how
many are too many (`guards`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from haetae_fds.decision import Action, Subject
from haetae_fds.event import Event
from haetae_fds.facts import RARE, Facts
from haetae_fds.ledger import Active
from haetae_fds.state import SETTLED

if TYPE_CHECKING:
    from haetae_fds.features import Features


def hit_by(features: Features, f: Facts, subject: Subject, action: Action) -> int:
    """Estimate how many good identities an action on a subject would hit."""
    if subject.untrusted:
        matched = 0 if action is Action.CHALLENGE else _at_log_in(f, subject)
    else:
        matched = _at_home(features, f, subject)
    himself = subject.ip in (None, f.ip, f.net_key) and subject.client in (None, f.client)
    return max(matched, int(himself and _in_his_place(f)))


def is_beside(entry: Active, event: Event, client: str | None, now: int) -> bool:
    """Say whether this event may have been refused for what somebody else did there, by what he spoke with."""
    if entry.action is not Action.BLOCK or entry.exp <= now or client == entry.client:
        return False
    api = entry.api
    return api is None or None in (api.path, event.api) or f"{api.method} {api.path}" == event.api


def lives_there(features: Features, ip: str, client: str | None, now: int, *, narrow: bool) -> bool:
    """Say whether somebody at an address seems to live there: established people do, and have clients like his.

    While hardly anybody is known: something went well there.
    """
    place = features.places.get(ip)
    if place is None or narrow:
        return place is not None and place.fine > 0
    cluster = None if client is None else features.clusters.get(client)
    good = 0.0 if cluster is None or cluster.good is None else cluster.good.count(now)
    return place.pop(now) > 0 and good >= RARE * max(1, features.good.count(now))


def _at_home(features: Features, f: Facts, subject: Subject) -> int:
    homes, since = None, None
    if subject.user is not None:
        user = features.users.get(subject.user)
        homes, since = (None, None) if user is None else (user.homes, user.first_good or None)
    elif subject.device is not None:
        device = features.devices.get(subject.device)
        homes = None if device is None else device.homes
        since = None if homes is None else homes.known_since()
    elif subject.account is not None:
        account = features.accounts.get(subject.account)
        homes = None if account is None else account.homes
        since = None if homes is None else homes.known_since()
    elif subject.session is not None:
        return int(subject.ip is None and subject.client is None)
    elif subject.client is not None and f.cluster is not None and f.cluster.good is not None:
        return f.cluster.good.count(f.now)
    else:
        return f.pop
    if homes is None or since is None or f.now - since < SETTLED:
        return 0
    return int(subject.ip is None or homes.settled(f"i:{subject.ip}", f.now))


def _at_log_in(f: Facts, subject: Subject) -> int:
    """Established identities are strangers again when they log in; counted for a client that many of them have."""
    everywhere = subject.client is not None and subject.ip is None and f.api is not None and f.api.login
    if not everywhere or f.rare or f.cluster is None or f.cluster.good is None:
        return 0
    return f.cluster.good.count(f.now)


def _in_his_place(f: Facts) -> bool:
    """While hardly anybody is known, this is anybody whose identity was verified, with his session where it began."""
    event = f.event
    if f.faults or f.failed or (event.status is not None and event.status >= 400):
        return False
    if f.narrow:
        moved = f.session is not None and f.session.first is not None and f.session.first[2] != f.ip
        return f.passed or (not moved and (f.user is not None or f.device is not None))
    if f.passed:
        return f.familiar
    if f.user is not None:
        return f.user.suspicion is None and f.user.homes.settled(f"i:{f.ip}", f.now)
    return f.device is not None and f.trusted
