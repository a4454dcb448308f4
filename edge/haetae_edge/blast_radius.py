"""How many callers policies made by machines may newly refuse, counted again where they are enforced.

Fraud detection has budgets of its own. Should it go wrong all the same, each worker refuses 0.3 % of the callers it has
identified in five minutes, or 50 if that is more; a challenge costs a fifth. Who would be one too many is let through
and counted.

Rules kept: memory is bounded; time is passed in; who was refused within the hour does not count again, nor does a
policy from before this worker started, which others have counted. Not here: policies that people made, and those for
strangers, who have no identity that could be counted.
"""

from collections import OrderedDict, deque
from math import log
from typing import Final

WINDOW_MS: Final = 300_000
SHARE: Final = 0.003
LEAST: Final = 50.0
CHALLENGE_COST: Final = 0.2
_REMEMBERED_MS: Final = 3_600_000
_MAX_REMEMBERED: Final = 10_000
_BITS: Final = 1 << 18


class BlastRadius:
    """One worker's count. `started_ms`: since when it counts, Unix milliseconds, as every time here.

    Callers are counted by one bit each (linear counting, Whang et al. 1990): within a few per cent up to half a
    million in five minutes.
    """

    def __init__(self, *, started_ms: int) -> None:
        self.spared = 0
        self._started_ms = started_ms
        self._since_ms = started_ms
        self._present = bytearray(_BITS // 8)
        self._before = 0.0
        self._refused: OrderedDict[str, int] = OrderedDict()
        self._spent: deque[tuple[int, float]] = deque()

    def note(self, caller: str, now_ms: int) -> None:
        """Count a caller who was identified."""
        if not 0 <= now_ms - self._since_ms < WINDOW_MS:
            self._before, self._since_ms = self._counted(), now_ms
            self._present = bytearray(_BITS // 8)
        place = hash(caller) % _BITS
        self._present[place >> 3] |= 1 << (place & 7)

    def allows(self, caller: str, *, cost: float, made_ms: int, now_ms: int) -> bool:
        """Whether a policy made at `made_ms` may refuse this caller; what that costs is spent."""
        known = self._refused.pop(caller, None)
        fresh = known is None or not 0 <= now_ms - known < _REMEMBERED_MS
        if fresh and made_ms >= self._started_ms:
            while self._spent and not 0 <= now_ms - self._spent[0][0] < WINDOW_MS:
                self._spent.popleft()
            most = max(LEAST, SHARE * max(self._before, self._counted()))
            if sum(spent for _, spent in self._spent) + cost > most + 1e-9:
                self.spared += 1
                return False
            self._spent.append((now_ms, cost))
        self._refused[caller] = now_ms
        if len(self._refused) > _MAX_REMEMBERED:
            self._refused.popitem(last=False)
        return True

    def _counted(self) -> float:
        empty = _BITS - int.from_bytes(self._present).bit_count()
        return _BITS * log(_BITS / max(1, empty))
