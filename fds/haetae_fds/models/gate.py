"""What models may learn from: traffic that nobody has a word against.

Learning through an attack teaches that attacks are normal. So what a rule flags, what belongs to a running attack and
what is stranger than 99 % of its segment is left out. A change of habits would then be left out for ever; when a
segment has been held back for thirty minutes without any rule or person having a word against it, a tenth is let in.

Rules kept: event time; no randomness (each tenth is each tenth). Not here: the models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from haetae_fds.decision import Action
from haetae_fds.facts import Facts
from haetae_fds.finding import Finding
from haetae_fds.state import MINUTE

STRANGE: Final = 0.01
QUIET: Final = 30 * MINUTE
TENTH: Final = 10
#: By itself the gate holds one in a hundred back; five in a hundred is a change of habits, or an attack.
HELD_SHARE: Final = 0.05
_MEMORY: Final = 1 / 200


class Segment:
    """One segment's gate."""

    __slots__ = ("held", "held_since", "hit_at", "turn")

    def __init__(self) -> None:
        self.held = 0.0
        self.held_since = 0
        self.hit_at = 0
        self.turn = 0


class Gate:
    """Decides what is learnt. `counted`: events learnt from, held back as flagged, as strange, and let in slowly."""

    __slots__ = ("counted", "segments")

    def __init__(self) -> None:
        self.segments: dict[str, Segment] = {}
        self.counted = {"learnt": 0, "flagged": 0, "strange": 0, "slowly": 0}

    def admits(self, segment: str, now: int, *, flagged: bool, p: float | None, hit: bool | None = None) -> bool:
        """Say whether to learn from an event whose p-value is `p` (None: there is no judgement yet).

        `hit`: a rule found something in this very event (default: if it is flagged). What only stands beside an attack,
        or in a model's own way, does not keep the gate shut for ever.
        """
        at = self.segments.get(segment)
        if at is None:
            at = self.segments[segment] = Segment()
        if flagged if hit is None else hit:
            at.hit_at = now
        if flagged:
            self.counted["flagged"] += 1
            return False
        strange = p is not None and p < STRANGE
        at.held += (float(strange) - at.held) * _MEMORY
        if at.held <= HELD_SHARE:
            at.held_since = 0
        elif not at.held_since:
            at.held_since = now
        if not strange:
            self.counted["learnt"] += 1
            return True
        if at.held_since and now - at.held_since >= QUIET and now - at.hit_at >= QUIET:
            at.turn += 1
            if at.turn >= TENTH:
                at.turn = 0
                self.counted["slowly"] += 1
                return True
        self.counted["strange"] += 1
        return False

    def hit(self, segment: str, now: int) -> None:
        """Note that a person confirmed an attack in this segment."""
        at = self.segments.get(segment)
        if at is not None:
            at.hit_at = max(at.hit_at, now)


def flagged(f: Facts, findings: Sequence[Finding]) -> bool:
    """Say whether a rule has a word against the event, or it belongs to a running attack."""
    if any(finding.action is not Action.ALERT for finding in findings):
        return True
    return any(
        row is not None and row.hot > f.now for row in (f.place, f.account, f.pair, f.net_pair, f.fault_pair, f.pw)
    )
