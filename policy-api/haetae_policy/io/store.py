"""The policies in Redis: add, extend, revoke, get, list, why; and the heartbeat that keeps followers honest.

A change, its index entries, its place in the log and the log's sequence and digest are one transaction (one script).
Changes are idempotent by identifier and version: repeating one whose answer was lost returns the first one's number.
A change must name the version it replaces; another one in between is a PolicyConflict.

Does not authenticate or authorise anybody and does not decide: `parse_new_policy` has checked what arrives here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from haetae_policy.entries import Head, decode_head
from haetae_policy.errors import (
    FeedCorrupt,
    PolicyConflict,
    PolicyInvalid,
    PolicyNotFound,
    Problem,
    TooManyPolicies,
)
from haetae_policy.identifiers import parse_policy_id
from haetae_policy.io.commands import Argument, Commands, Executor
from haetae_policy.io.keys import Keys
from haetae_policy.io.scripts import BEAT, DELETE, ESTABLISH, PURGE, PUT, RESET
from haetae_policy.model import KINDS, Policy, Subject
from haetae_policy.network import Network
from haetae_policy.parse import read_policy
from haetae_policy.record import encode_policy, record_digest
from haetae_policy.rules import DEFAULT_RULES, Rules

EPOCH_BYTES: Final = 8
MAX_PAGE: Final = 500
_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Limits of the store. Times in seconds.

    `per_subject`: policies one subject may carry, which bounds the time of a look-up. `retention_s`: how long log
    entries are kept at least; longer for a slower worker that is alive, up to some `most_entries` changes.
    `ended_s`: how long ended policies can still be looked up.
    """

    prefix: str = "haetae:"
    deadline_s: float = 1.0
    per_subject: int = 64
    beat_s: float = 5.0
    retention_s: int = 600
    trim_above: int = 10_000
    most_entries: int = 1_000_000
    worker_life_s: int = 30
    ended_s: int = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Added:
    """A change that is in the log. `repeated`: it had been made before, and this is its number then."""

    policy: Policy
    seq: int
    repeated: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A policy that is no longer in force, kept for explanations. `how` is `revoked` or `expired`."""

    policy: Policy
    how: str
    by: str | None
    at_ms: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Policies, newest first; `after` continues the list, None at its end."""

    policies: tuple[Policy, ...]
    after: str | None


class PolicyStore:
    """See the module's docstring. Any number of writers may use one installation's store at a time."""

    def __init__(self, client: Executor, settings: StoreSettings, *, rules: Rules = DEFAULT_RULES) -> None:
        self._commands = Commands(client, deadline_s=settings.deadline_s)
        self._settings = settings
        self._rules = rules
        self._keys = Keys(settings.prefix)

    async def add(self, policy: Policy, *, now_ms: int, epoch_randomness: bytes) -> Added:
        """Store a new policy, version 1. `epoch_randomness`: eight bytes, used when the log is new.

        Raises PolicyInvalid (rules, or expired), PolicyConflict (the identifier was used), TooManyPolicies,
        StoreUnavailable (repeat the same policy).
        """
        return await self._put(policy, expected=0, now_ms=now_ms, epoch_randomness=epoch_randomness)

    async def change(self, policy: Policy, *, now_ms: int, epoch_randomness: bytes) -> Added:
        """Replace version `policy.version - 1`. The subject must stay what it was. Raises as `add` does."""
        held = await self.get(policy.id)
        if held.subject != policy.subject:
            raise PolicyConflict("the subject of a policy cannot change; make another policy")
        return await self._put(policy, expected=policy.version - 1, now_ms=now_ms, epoch_randomness=epoch_randomness)

    async def extend(
        self, policy_id: str, *, version: int, expires_ms: int, now_ms: int, epoch_randomness: bytes
    ) -> Added:
        """Give version `version` of a policy another expiry (Unix ms, whole seconds). Raises as `add` does."""
        held = await self.get(policy_id)
        changed = held.extended(expires_ms=expires_ms, now_ms=now_ms)
        if held.version != version:
            if held.version == version + 1 and held.expires_ms == expires_ms:
                changed = held  # our own change, whose answer was lost
            else:
                raise PolicyConflict(f"the policy is at version {held.version}")
        return await self._put(changed, expected=changed.version - 1, now_ms=now_ms, epoch_randomness=epoch_randomness)

    async def revoke(self, policy_id: str, *, version: int, by: str, now_ms: int) -> int:
        """Take back version `version` of a policy; return the log's number of it.

        A policy revoked before answers as if now. Raises PolicyNotFound, PolicyConflict, StoreUnavailable.
        """
        parse_policy_id(policy_id)
        document = await self._commands.call("HGET", self._keys.docs, policy_id)
        subject, rest = Subject(), b""
        if document is not None:
            policy = _decode(document)
            subject, rest = policy.subject, _ended(policy, how="revoked", by=by, at_ms=now_ms)
        keys = self._change_keys(policy_id, subject)
        status, value = await self._commands.run(
            DELETE, keys, [policy_id, version, now_ms, rest, self._settings.ended_s]
        )
        if status == b"missing":
            raise PolicyNotFound(f"there is no policy {policy_id}")
        if status == b"conflict":
            raise PolicyConflict(f"the policy is at version {int(value)}")
        await self._commands.call("HDEL", self._keys.hits, policy_id)
        return int(value)

    async def add_many(self, policies: Iterable[Policy], *, now_ms: int, epoch_randomness: bytes) -> list[Added]:
        """Store new policies, a hundred to a round trip, each a transaction of its own.

        Raises as `add` does, for the first that fails; others of its hundred may have been stored. Repeating is safe.
        """
        added: list[Added] = []
        waiting = list(policies)
        for start in range(0, len(waiting), _AT_ONCE):
            chunk = waiting[start : start + _AT_ONCE]
            runs = [
                self._put_arguments(policy, expected=0, now_ms=now_ms, epoch_randomness=epoch_randomness)
                for policy in chunk
            ]
            replies = await self._commands.run_many(PUT, runs)
            added += [self._put_result(policy, reply) for policy, reply in zip(chunk, replies, strict=True)]
        return added

    async def get(self, policy_id: str) -> Policy:
        """Return a policy in force; raises PolicyNotFound, StoreUnavailable."""
        parse_policy_id(policy_id)
        document = await self._commands.call("HGET", self._keys.docs, policy_id)
        if document is None:
            raise PolicyNotFound(f"there is no policy {policy_id}")
        return _decode(document)

    async def unknown(self, policy_ids: Sequence[str]) -> list[str]:
        """Return those that are neither in force nor, within `ended_s`, ended; raises StoreUnavailable."""
        found: list[str] = []
        for start in range(0, len(policy_ids), MAX_PAGE):
            chunk = policy_ids[start : start + MAX_PAGE]
            held = await self._commands.call("HMGET", self._keys.meta, *chunk)
            missing = [policy_id for policy_id, meta in zip(chunk, held, strict=True) if meta is None]
            if missing:
                ended = await self._commands.call("MGET", *(self._keys.ended(policy_id) for policy_id in missing))
                found += [policy_id for policy_id, document in zip(missing, ended, strict=True) if document is None]
        return found

    async def ended(self, policy_id: str) -> Ended:
        """Return a policy that was revoked or expired within the last days; raises PolicyNotFound."""
        parse_policy_id(policy_id)
        raw = await self._commands.call("GET", self._keys.ended(policy_id))
        if raw is None:
            raise PolicyNotFound(f"there is no ended policy {policy_id}")
        document = _loads(raw)
        policy = read_policy(document["policy"])
        return Ended(policy=policy, how=document["how"], by=document.get("by"), at_ms=document.get("at"))

    async def list(self, *, limit: int = 100, after: str | None = None) -> Page:
        """Return up to `limit` policies, newest first, from the one after identifier `after`."""
        limit = max(1, min(limit, MAX_PAGE))
        if after is not None:
            parse_policy_id(after)
        start = "+" if after is None else f"({after}"
        ids = await self._commands.call("ZREVRANGEBYLEX", self._keys.ids, start, "-", "LIMIT", 0, limit + 1)
        policies = await self._documents(ids[:limit])
        return Page(policies=policies, after=ids[limit - 1].decode() if len(ids) > limit else None)

    async def why_subject(
        self, *, kind: str | None = None, value: str = "", address: int | None = None
    ) -> tuple[Policy, ...]:
        """Return policies that name a subject: `kind` and `value`, or every network around `address`.

        With neither, the policies for everyone. `address` comes from `address_key`.
        """
        if kind is not None and kind not in KINDS:
            raise PolicyInvalid((Problem(kind, "is no kind of subject"),))
        if kind is not None:
            sets = [self._keys.named(kind, value)]
        elif address is not None:
            version, bits = (4, 32) if address < 1 << 128 else (6, 128)
            sets = [self._keys.network(Network(version, address >> shift, shift)) for shift in range(bits + 1)]
        else:
            sets = [self._keys.everyone()]
        ids = await self._commands.call("SUNION", *sets)
        return await self._documents(sorted(ids, reverse=True)[:MAX_PAGE])

    async def head(self) -> Head | None:
        """Return the log's state, or None before anything was ever written; raises FeedCorrupt."""
        fields = await self._commands.call("HGETALL", self._keys.head)
        return decode_head(fields) if fields else None

    async def establish(self, *, now_ms: int, epoch_randomness: bytes) -> bool:
        """Begin a log where there is none; return whether it did. For the first start of an installation.

        Who has followed a log must not call this: a log that is gone is data that was lost.
        """
        return bool(await self._commands.run(ESTABLISH, [self._keys.head], [now_ms, _epoch(epoch_randomness)]))

    async def reset(self, *, now_ms: int, epoch_randomness: bytes) -> None:
        """Declare what the store has now the whole truth: followers drop what they kept of earlier logs.

        An operator's decision, after data was lost on purpose or what was lost has been made again.
        """
        keys = self._keys
        await self._commands.run(RESET, [keys.head, keys.log], [now_ms, _epoch(epoch_randomness)])

    async def beat(self, *, now_ms: int) -> bool:
        """Write a heartbeat unless one was written within `beat_s`; trim the log. Returns whether it did.

        Every writer may call this from a timer; one an interval gets through. Does nothing where there is no log.
        """
        settings, keys = self._settings, self._keys
        return bool(
            await self._commands.run(
                BEAT,
                [keys.head, keys.buckets, keys.log, keys.workers, keys.positions],
                [
                    *(now_ms, int(settings.beat_s * 1000), settings.retention_s * 1000),
                    *(settings.trim_above, settings.most_entries, settings.worker_life_s * 1000),
                ],
            )
        )

    async def purge(self, *, limit: int = 500) -> int:
        """Move up to `limit` policies that the digest has left behind out of the way; return how many.

        Call after `beat`, again while it returns `limit`.
        """
        head = await self.head()
        if head is None:
            return 0
        before = f"({head.floor_ms}"
        ids = await self._commands.call("ZRANGEBYSCORE", self._keys.expiries, "-inf", before, "LIMIT", 0, limit)
        done = 0
        for policy in await self._documents(ids):
            document = _ended(policy, how="expired", by=None, at_ms=policy.expires_ms)
            keys = self._change_keys(policy.id, policy.subject)
            done += await self._commands.run(PURGE, keys, [policy.id, document, self._settings.ended_s])
        if ids:
            await self._commands.call("HDEL", self._keys.hits, *ids)
        return done

    async def _put(self, policy: Policy, *, expected: int, now_ms: int, epoch_randomness: bytes) -> Added:
        keys, args = self._put_arguments(policy, expected=expected, now_ms=now_ms, epoch_randomness=epoch_randomness)
        return self._put_result(policy, await self._commands.run(PUT, keys, args))

    def _put_arguments(
        self, policy: Policy, *, expected: int, now_ms: int, epoch_randomness: bytes
    ) -> tuple[Sequence[str], Sequence[Argument]]:
        if policy.version != expected + 1:
            raise PolicyConflict(f"the next version is {expected + 1}")
        problems = self._rules.problems(policy)
        if problems:
            raise PolicyInvalid(tuple(problems))
        record = encode_policy(policy)
        args: list[Argument] = [
            *(policy.id, policy.version, expected, policy.expires_ms, record_digest(record), record),
            *(policy.to_json(), now_ms, _epoch(epoch_randomness), self._settings.per_subject),
        ]
        return self._change_keys(policy.id, policy.subject), args

    def _put_result(self, policy: Policy, reply: tuple[bytes, bytes]) -> Added:
        status, value = reply
        if status == b"conflict":
            raise PolicyConflict(f"the policy is at version {int(value)}")
        if status == b"ended":
            raise PolicyConflict("a policy with this identifier has ended")
        if status == b"expired":
            raise PolicyInvalid((Problem("expires", "has passed"),))
        if status == b"full":
            raise TooManyPolicies(f"a subject carries at most {self._settings.per_subject} policies")
        return Added(policy=policy, seq=int(value), repeated=status == b"same")

    def _change_keys(self, policy_id: str, subject: Subject) -> Sequence[str]:
        keys = self._keys
        return [
            *(keys.head, keys.live, keys.meta, keys.docs, keys.buckets, keys.expiries, keys.ids, keys.log),
            keys.ended(policy_id),
            *keys.subject(subject),
        ]

    async def _documents(self, ids: Sequence[bytes]) -> tuple[Policy, ...]:
        if not ids:
            return ()
        documents = await self._commands.call("HMGET", self._keys.docs, *ids)
        return tuple(_decode(document) for document in documents if document is not None)


def _ended(policy: Policy, *, how: str, by: str | None, at_ms: int) -> bytes:
    return orjson.dumps({"policy": policy.to_dict(), "how": how, "by": by, "at": at_ms})


def _epoch(randomness: bytes) -> str:
    if len(randomness) != EPOCH_BYTES:
        raise ValueError(f"an epoch needs {EPOCH_BYTES} random bytes")
    return randomness.hex()


def _loads(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise FeedCorrupt("a stored policy is not JSON") from error


def _decode(raw: bytes) -> Policy:
    return read_policy(_loads(raw))
