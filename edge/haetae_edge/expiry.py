"""When certificates run out: the numbers for metrics, and warnings in good time.

Names are those that the configuration lists (a wildcard is one name), so their number is bounded. A warning is given
once per certificate and threshold; of several certificates of one name in use at the same time, such as those of the
instances of a service, once a day. Time is an argument; nothing is read or scheduled here.
"""

from __future__ import annotations

import logging
from typing import Final

_log = logging.getLogger("haetae.certificates")
_DAY: Final = 86_400
#: Days before the end at which a warning is due.
THRESHOLDS: Final = (30, 14, 3)
#: More names than a configuration can list; beyond, nothing is noted.
_MAX_NAMES: Final = 10_000


class ExpiryWatch:
    """The certificates seen last, by configured name. `not_after` is in Unix seconds."""

    def __init__(self) -> None:
        self._ends: dict[str, int] = {}
        #: Of the last warning: the certificate's end, its threshold, when it was given.
        self._warned: dict[str, tuple[int, int, float]] = {}

    def note(self, name: str, not_after: int, *, now: float) -> None:
        """A certificate of this name is in use."""
        if self._ends.get(name) != not_after:
            if name not in self._ends and len(self._ends) >= _MAX_NAMES:
                return
            self._ends[name] = not_after
        left = (not_after - now) / _DAY
        if left > THRESHOLDS[0]:
            return
        due = min(threshold for threshold in THRESHOLDS if left <= threshold)
        known = self._warned.get(name)
        if known is not None and known[1] <= due and (known[0] == not_after or now - known[2] < _DAY):
            return
        self._warned[name] = (not_after, due, now)
        _log.warning("the certificate of %s ends in %d day(s): renew it", name, max(0, int(left)))

    def days_left(self, now: float) -> dict[str, float]:
        """Days until the end of each certificate; negative afterwards."""
        return {name: (end - now) / _DAY for name, end in self._ends.items()}
