"""Backup and restore: every policy in force as one JSON line, and back into an empty or matching store.

Rules kept: a restored policy is the same to its last field, version and approval; one that expired meanwhile is
passed over; one that was changed in the future, or comes twice, is no policy of a backup and stops the restore; a
policy that is there in another version is a conflict, never overwritten; restoring is audited, and
repeating it is harmless. The audit trail itself is not restored: a trail that could be imported could be replaced.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from haetae_policy.audit import AuditNote
from haetae_policy.errors import PolicyConflict, PolicyInvalid, Problem
from haetae_policy.io.ledger import Ledger, Operation, PutPolicy
from haetae_policy.io.store import MAX_PAGE, PolicyStore
from haetae_policy.model import Policy
from haetae_policy.parse import read_policy

_CHUNK: Final = 100
MAX_LINE: Final = 65_536
_SKEW_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of the lines."""

    stored: int
    already: int
    expired: int


async def export_lines(store: PolicyStore, *, now_ms: int) -> AsyncIterator[bytes]:
    """Yield one line per policy in force, newest first; raises StoreUnavailable."""
    after: str | None = None
    while True:
        page = await store.list(limit=MAX_PAGE, after=after)
        for policy in page.policies:
            if policy.expires_ms > now_ms:
                yield policy.to_json() + b"\n"
        after = page.after
        if after is None:
            return


async def import_lines(
    ledger: Ledger, lines: Iterable[bytes], *, by: str, now_ms: int, epoch_randomness: bytes
) -> Restored:
    """Store what `export_lines` gave. All lines are read before the first is stored.

    Raises PolicyInvalid (which line), PolicyConflict, StoreUnavailable; repeating is safe.
    """
    policies = _read(lines, now_ms=now_ms)
    live = [policy for policy in policies if policy.expires_ms > now_ms]
    stored = already = 0
    for start in range(0, len(live), _CHUNK):
        chunk = live[start : start + _CHUNK]
        while chunk:
            puts: list[Operation] = [PutPolicy(policy=policy, expected=0) for policy in chunk]
            note = AuditNote(
                actor=by, action="restore", target=chunk[0].id, details={"ids": [policy.id for policy in chunk]}
            )
            done = await ledger.commit([*puts, note], now_ms=now_ms, epoch_randomness=epoch_randomness)
            if not done.refused:
                stored += len(chunk)
                break
            left = []
            for policy, status in zip(chunk, done.refused, strict=False):
                if status == "ok":
                    left.append(policy)
                elif status.startswith("same"):
                    already += 1
                else:
                    raise PolicyConflict(f"{policy.id} cannot be restored: {status}")
            chunk = left
    return Restored(stored=stored, already=already, expired=len(policies) - len(live))


def _read(lines: Iterable[bytes], *, now_ms: int) -> list[Policy]:
    """Return the policies of all lines; raises PolicyInvalid."""
    policies: dict[str, Policy] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        policy = _policy(number, line)
        if policy.id in policies:
            raise PolicyInvalid((Problem(f"line {number}: id", "came in an earlier line"),))
        # The longest life counts from the last change: one in the future would stretch it without end.
        if policy.changed_ms > now_ms + _SKEW_MS:
            raise PolicyInvalid((Problem(f"line {number}: changed", "is in the future"),))
        policies[policy.id] = policy
    return list(policies.values())


def _policy(number: int, line: bytes) -> Policy:
    try:
        if len(line) > MAX_LINE:
            raise ValueError
        return read_policy(orjson.loads(line))
    except PolicyInvalid as error:
        found = tuple(Problem(f"line {number}: {problem.field}", problem.message) for problem in error.problems)
        raise PolicyInvalid(found) from error
    except ValueError:
        raise PolicyInvalid((Problem(f"line {number}", "is not one JSON object"),)) from None
