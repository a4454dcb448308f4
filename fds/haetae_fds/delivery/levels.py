"""Who decides what when events are spread over several shards by network.

    shards 0 … n-1     level 1: every event of a network; decides about addresses, networks and clients
    shards n … 2n-1    level 2: every event of an account, secret, user, device or session, whatever the network;
                       decides about those

A level 1 worker hands each event that has an identity on to the level 2 shards of its account, its secret, its verified
user (without one, its session) and its verified device: four at most. All detectors run on both levels; what is decided
is kept where the subject is at home and dropped elsewhere, so that nothing is decided twice, and nothing about an
identity on half the picture. With one shard there is no level 2, for it sees everything.

Rules kept: pure functions, the same in every process and version; an identity that was not verified sends an event
nowhere, a tried account and a tried secret excepted. Not here: carrying it (`io/worker.py`).
"""

from __future__ import annotations

from zlib import crc32

from haetae_fds.decision import Decision
from haetae_fds.event import Event


def all_shards(shards: int) -> int:
    """How many streams there are for `shards` of the gateways."""
    return shards if shards == 1 else 2 * shards


def homes_of(event: Event, shards: int) -> set[int]:
    """The level 2 shards that an event is handed on to."""
    keys = []
    if event.acct is not None:
        keys.append(f"a:{event.acct}")
    if event.pw_fp is not None:
        keys.append(f"p:{event.pw_fp}")
    if event.user is not None and event.user_v:
        keys.append(f"u:{event.user}")
    elif event.sess is not None:
        keys.append(f"s:{event.sess}")
    if event.dev is not None and event.dev_v:
        keys.append(f"d:{event.dev}")
    return {_home(key, shards) for key in keys}


def decides(decision: Decision, event: Event, *, shard: int, shards: int) -> bool:
    """Whether `shard` is where the subject of a decision, caused by `event`, is at home."""
    if shards == 1:
        return True
    key = _key(decision, event)
    return shard < shards if key is None else shard == _home(key, shards)


def _key(decision: Decision, event: Event) -> str | None:
    subject = decision.subject
    if subject.user is not None:
        return f"u:{subject.user}"
    if subject.session is not None:
        # A session is seen whole where its user is.
        return f"u:{event.user}" if event.user is not None and event.user_v else f"s:{subject.session}"
    if subject.device is not None:
        return f"d:{subject.device}"
    if subject.account is not None:
        return f"a:{subject.account}"
    return None if subject.pw_fp is None else f"p:{subject.pw_fp}"


def _home(key: str, shards: int) -> int:
    return shards + crc32(key.encode()) % shards
