"""The switch: off, shadow or enforce, for everything and for each detector, in one hash that every worker follows.

Switching enforcement off also takes back what machines have decided, so that the gateways forget it as fast as the
policy feed travels; a worker that is down or busy does not delay that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from haetae_policy import Policy, PolicyNotFound
from haetae_policy.audit import AuditNote
from haetae_policy.io.commands import Commands
from haetae_policy.io.ledger import EndPolicy, Ledger
from haetae_policy.io.store import EPOCH_BYTES, MAX_PAGE, PolicyStore
from haetae_policy.model import SourceKind

from haetae_fds.decision import Mode
from haetae_fds.detectors.registry import DETECTORS
from haetae_fds.io.keys import modes_key
from haetae_fds.models.review import REVIEW
from haetae_fds.models.roles import MODELS
from haetae_fds.models.rulefile import RULE_NAME

# A lot's identifiers fit in one entry of the audit trail.
_LOT: Final = 400
_ATTEMPTS: Final = 10
#: A decision that was on its way while the switch was turned is in the store by then.
_SETTLE: Final = 0.1
DETECTOR_NAMES: Final = frozenset({*(one.name for one in DETECTORS), *MODELS, REVIEW})
OVERALL: Final = "overall"
CAUTION: Final = (Mode.OFF, Mode.SHADOW, Mode.ENFORCE)


class Modes:
    """Reads and sets the modes. Raises StoreUnavailable."""

    def __init__(self, commands: Commands, *, prefix: str) -> None:
        self._commands = commands
        self._key = modes_key(prefix)
        self._known: dict[str, Mode] = {}

    def remember(self, known: Mapping[str, Mode]) -> None:
        """Know what was set in an earlier life, unless something has been read in this one."""
        self._known = self._known or dict(known)

    async def read(self) -> dict[str, Mode]:
        """What is set; unknown words count as shadow, which harms nobody.

        People change a word and never take all of them away: where there was one and is none any more, the store has
        lost them, and they are put back. A switch that was turned must not turn back by itself.
        """
        found = await self._stored()
        if self._known and not found:
            for name, mode in self._known.items():
                await self._commands.call("HSETNX", self._key, name, mode.value)
            found = await self._stored()
        self._known = found
        return dict(found)

    async def _stored(self) -> dict[str, Mode]:
        raw = await self._commands.call("HGETALL", self._key)
        pairs = raw.items() if isinstance(raw, Mapping) else zip(raw[::2], raw[1::2], strict=True)
        return {name.decode(): _mode(value.decode()) for name, value in pairs}

    async def of(self, detector: str) -> Mode:
        """The most that is switched on for a detector at this moment."""
        set_ = await self.read()
        found = [set_[name] for name in (OVERALL, detector) if name in set_]
        return min(found, key=CAUTION.index, default=Mode.ENFORCE)

    async def set(self, name: str, mode: Mode) -> None:
        """Set the mode of a detector, or of `OVERALL`."""
        await self._commands.call("HSET", self._key, name, mode.value)


async def take_back(
    store: PolicyStore, ledger: Ledger, *, detector: str | None, since_ms: int, by: str, now_ms: int
) -> tuple[Policy, ...]:
    """Revoke what machines decided since a time, of one detector or all; returns the policies that ended.

    Hundreds at a time, each lot one transaction with its place in the audit trail. Raises StoreUnavailable: what was
    taken back by then stays so, and repeating is safe.
    """
    after: str | None = None
    taken: list[Policy] = []
    while True:
        page = await store.list(limit=MAX_PAGE, after=after)
        chosen = [
            policy
            for policy in page.policies
            if policy.source.kind is SourceKind.FDS
            and policy.created_ms >= since_ms
            and detector in (None, policy.source.name)
        ]
        for start in range(0, len(chosen), _LOT):
            taken += await _end(store, ledger, chosen[start : start + _LOT], by=by, now_ms=now_ms)
        after = page.after
        if after is None or page.policies[-1].created_ms < since_ms:
            return tuple(taken)


async def turn_mode(
    modes: Modes,
    store: PolicyStore,
    ledger: Ledger,
    *,
    detector: str | None,
    mode: Mode,
    by: str,
    clock_ms: Callable[[], int],
) -> tuple[Policy, ...]:
    """Set a mode; below `enforce`, end what acts. Returns the policies that ended. Raises StoreUnavailable."""
    await modes.set(detector or OVERALL, mode)
    now = clock_ms()
    await note(ledger, by=by, action="fds-mode", target=detector or "fds", details={"mode": mode.value}, now_ms=now)
    if mode is Mode.ENFORCE:
        return ()
    taken = await take_back(store, ledger, detector=detector, since_ms=0, by=by, now_ms=now)
    await asyncio.sleep(_SETTLE)
    late = await take_back(store, ledger, detector=detector, since_ms=now - 1000, by=by, now_ms=clock_ms())
    return (*taken, *(policy for policy in late if policy.mode == "enforce"))


def has_switch(detector: str) -> bool:
    """Say whether there is a detector, a model or a rule of a file of this name."""
    return detector in DETECTOR_NAMES or RULE_NAME.fullmatch(detector) is not None


async def note(ledger: Ledger, *, by: str, action: str, target: str, details: Mapping[str, Any], now_ms: int) -> None:
    """Write into the audit trail what changes no policy by itself, such as the switch."""
    entry = AuditNote(actor=by, action=action, target=target, details=details)
    await ledger.commit([entry], now_ms=now_ms, epoch_randomness=os.urandom(EPOCH_BYTES))


async def _end(store: PolicyStore, ledger: Ledger, lot: list[Policy], *, by: str, now_ms: int) -> list[Policy]:
    """End all of a lot. One that a worker extended meanwhile is read again; one that has ended is left out."""
    for _ in range(_ATTEMPTS):
        if not lot:
            return []
        entry = AuditNote(
            actor=by, action="take-back", target="fds", details={"policies": [policy.id for policy in lot]}
        )
        done = await ledger.commit(
            [*(EndPolicy(policy=policy, by=by) for policy in lot), entry],
            now_ms=now_ms,
            epoch_randomness=os.urandom(EPOCH_BYTES),
        )
        if not done.refused:
            return lot
        lot = [held for policy in lot if (held := await _held(store, policy.id)) is not None]
    return []


async def _held(store: PolicyStore, policy_id: str) -> Policy | None:
    try:
        return await store.get(policy_id)
    except PolicyNotFound:
        return None


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        return Mode.SHADOW
