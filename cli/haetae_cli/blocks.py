"""Block policies from a terminal: what ``haetae block``, the tour and ``haetae up`` share.

Rules kept: a policy goes through the same strict parser as everywhere; errors become sentences a user can
act on.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from haetae_policy import (
    Policy,
    PolicyError,
    PolicyInvalid,
    ReferenceInvalid,
    Source,
    SourceKind,
    StoreUnavailable,
    make_policy_id,
    parse_new_policy,
)
from haetae_policy.audit import AuditNote
from haetae_policy.identifiers import RANDOM_BYTES
from haetae_policy.io.connect import RedisSettings, connect
from haetae_policy.io.ledger import EndPolicy, Ledger, Operation, PutPolicy
from haetae_policy.io.refusals import Refusal, RefusalStore
from haetae_policy.io.store import EPOCH_BYTES, Page, PolicyStore, StoreSettings
from haetae_policy.io.workers import InForce, WorkerReports
from haetae_policy.model import format_time

from haetae_cli.errors import BlockRefused
from haetae_cli.state import StateDirectory, default_state

PREFIX = "haetae:"
TOUR_SECONDS = 60
_REFUSED = {
    "full": "the subject carries as many policies as it may",
    "conflict": "somebody else changed the policy at the same moment",
    "expired": "the policy has expired",
    "ended": "the policy has ended",
    "missing": "there is no such policy",
}


def store_url(given: str | None, state: Path | None) -> str:
    """The store that was named, or that of the running stack."""
    url = given or os.environ.get("HAETAE_REDIS_URL")
    return url or StateDirectory(state or default_state()).running().redis_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A stored policy and how many live workers enforce it after how many milliseconds (None: not all yet)."""

    policy: Policy
    applied: int
    workers: int
    after_ms: int | None


class Blocks:
    """The policies of one installation.

    Raises from every method:
        BlockRefused: the policy breaks a rule, is not there, or the store does not answer.
    """

    def __init__(self, store: PolicyStore, ledger: Ledger, refusals: RefusalStore, workers: WorkerReports) -> None:
        self.store = store
        self.ledger = ledger
        self._refusals = refusals
        self._workers = workers

    async def create(self, document: Mapping[str, object], *, lasts_s: int, by: str) -> Effect:
        """Store a policy of ``lasts_s`` seconds, and see how far it has come within half a second."""
        now_ms = _now_ms()
        expires_ms = now_ms // 1000 * 1000 + lasts_s * 1000
        with said():
            policy = parse_new_policy(
                {**document, "expires": format_time(expires_ms)},
                policy_id=make_policy_id(now_ms=now_ms, randomness=os.urandom(RANDOM_BYTES)),
                source=Source(kind=SourceKind.ANALYST, name=by),
                now_ms=now_ms,
            )
            note = AuditNote(actor=by, action="create", target=policy.id, details={"policy": policy.to_dict()})
            seq = await self._commit([PutPolicy(policy=policy, expected=0), note], now_ms=now_ms)
            found = await self._until_in_force(seq)
        after = None if found.at_ms is None else max(0, found.at_ms - now_ms)
        return Effect(policy=policy, applied=found.applied, workers=found.workers, after_ms=after)

    async def _until_in_force(self, seq: int) -> InForce:
        """Workers report to the store; nothing announces it here, so ask a few times."""
        deadline = time.monotonic() + 0.5
        while True:
            found = await self._workers.in_force(seq, now_ms=_now_ms())
            if found.workers == 0 or found.applied == found.workers or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.02)

    async def add(self, *, user: str, device: str, route: str) -> str:
        """Block one device of one user on one route for a minute; returns the policy's id."""
        document = {
            "subject": {"user": user, "device": device},
            "api": {"route": route},
            "action": "block",
            "reason": "shown in the tour",
        }
        effect = await self.create(document, lasts_s=TOUR_SECONDS, by="tour")
        return effect.policy.id

    async def remove(self, policy_id: str, *, by: str = "tour") -> None:
        """Take a policy back."""
        with said():
            policy = await self.store.get(policy_id)
            note = AuditNote(actor=by, action="revoke", target=policy_id, details={"version": policy.version})
            await self._commit([EndPolicy(policy=policy, by=by), note], now_ms=_now_ms())

    async def reset(self, *, by: str) -> None:
        """Declare what the store has the whole truth: gateways drop what they kept of a log that was lost."""
        with said():
            now_ms = _now_ms()
            note = AuditNote(actor=by, action="reset", target="log")
            done = await self.ledger.commit([note], now_ms=now_ms, epoch_randomness=os.urandom(EPOCH_BYTES))
            if done.refused:
                raise BlockRefused("the store refused to note the reset")
            await self.store.reset(now_ms=now_ms, epoch_randomness=os.urandom(EPOCH_BYTES))

    async def _commit(self, operations: list[Operation], *, now_ms: int) -> int:
        done = await self.ledger.commit(operations, now_ms=now_ms, epoch_randomness=os.urandom(EPOCH_BYTES))
        if done.refused:
            status = next(status for status in done.refused if status != "ok")
            raise BlockRefused(_REFUSED.get(status.partition(" ")[0], f"the store refused: {status}"))
        return max(done.seqs)

    async def page(self, *, limit: int, after: str | None = None) -> Page:
        """Policies in force, newest first."""
        with said():
            return await self.store.list(limit=limit, after=after)

    async def naming(self, *, kind: str | None, value: str, address: int | None) -> tuple[Policy, ...]:
        """Policies that name a subject, or a network around ``address``."""
        with said():
            return await self.store.why_subject(kind=kind, value=value, address=address)

    async def refusal(self, reference: str) -> Refusal:
        """What a reference in a refusal stands for."""
        with said():
            return await self._refusals.why(reference, now_ms=_now_ms())

    async def why(self, reference: str) -> str | None:
        """The id of the policy behind a reference, waiting a moment: edges record refusals off the request
        path.
        """
        for _ in range(50):
            try:
                found = await self._refusals.why(reference, now_ms=_now_ms())
            except ReferenceInvalid:
                await asyncio.sleep(0.02)
            except PolicyError as error:
                raise _refused(error) from error
            else:
                return found.policy_id
        return None

    async def establish(self) -> None:
        """Begin the policy log of a new store; one that exists is left as it is."""
        with said():
            await self.store.establish(now_ms=_now_ms(), epoch_randomness=os.urandom(EPOCH_BYTES))

    async def keep(self) -> None:
        """One turn of what the writer of policies owes its followers: a heartbeat, and putting ended ones
        away.
        """
        with said():
            await self.store.beat(now_ms=_now_ms())
            await self.store.purge()


@asynccontextmanager
async def open_blocks(redis_url: str) -> AsyncIterator[Blocks]:
    """Connect to the policies in this store.

    Raises:
        BlockRefused: the URL is not one.
    """
    try:
        client = connect(RedisSettings(url=redis_url, connect_s=1.0, reply_s=1.0, pool=4))
    except ValueError as error:
        raise BlockRefused(f"the store's address does not read: {error}") from error
    settings = StoreSettings(prefix=PREFIX)
    try:
        yield Blocks(
            PolicyStore(client, settings),
            Ledger(client, settings),
            RefusalStore(client, prefix=PREFIX),
            WorkerReports(client, settings),
        )
    finally:
        await client.aclose()


@contextmanager
def said() -> Iterator[None]:
    """Turn errors of the policy packages into sentences a user can act on."""
    try:
        yield
    except PolicyError as error:
        raise _refused(error) from error


def _refused(error: PolicyError) -> BlockRefused:
    if isinstance(error, StoreUnavailable):
        return BlockRefused("the store does not answer; is the stack running?")
    if isinstance(error, PolicyInvalid):
        return BlockRefused("; ".join(f"{problem.field} {problem.message}" for problem in error.problems))
    return BlockRefused(str(error))


def _now_ms() -> int:
    return int(time.time() * 1000)
