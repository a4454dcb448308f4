"""Which callers that nobody has a word against are shown to people: one in a hundred of the very strange.

What no rule flags nobody looks at, and how much is missed would never be known. Written down in shadow, so that people
can judge it like any decision; it acts on nobody.

Rules kept: no randomness (a caller is picked by name and day), bounded a day, each once. Not here: what is strange.
"""

from __future__ import annotations

from typing import Final

from haetae_fds.counters import Recent, stable
from haetae_fds.state import DAY

REVIEW: Final = "model_review"
ONE_IN: Final = 100
MOST: Final = 50
WHY: Final = "nobody has a word against it: one in a hundred such callers is shown to people"


class Review:
    """Who was picked in the last day."""

    __slots__ = ("shown",)

    def __init__(self) -> None:
        self.shown = Recent(DAY)

    def picks(self, actor: str, now: int) -> bool:
        """Say whether to show a caller, and note it."""
        if stable(f"{now // DAY} {actor}") % ONE_IN or self.shown.holds(actor, now) or self.shown.count(now) >= MOST:
            return False
        self.shown.add(actor, now)
        return True
