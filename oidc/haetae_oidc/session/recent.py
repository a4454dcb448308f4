"""Sessions that were looked up a moment ago, so that a page with fifty requests asks the store once.

Rules kept: a copy serves the very ticket it was found with and is never older than `recheck` seconds; one session has
one copy; an ending drops it, also one that arrives while the session is being looked up; a copy made by background
polling does not swallow the activity of a person. Bounded: the oldest copies go first.

Not done here: knowing that endings are heard; without that, nobody may ask.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from haetae_oidc.session.model import Loaded

MAX_RECENT: Final = 20_000


class _Copy(NamedTuple):
    when: float
    ticket: str
    activity: bool
    loaded: Loaded


class RecentSessions:
    """Copies by the session's public name, found through the ticket."""

    __slots__ = ("_by_ticket", "_copies", "_recheck", "endings")

    def __init__(self, recheck: float) -> None:
        """`recheck` in seconds; 0 keeps nothing."""
        self._recheck = recheck
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._by_ticket: dict[str, _Copy] = {}
        self.endings = 0

    def recall(self, ticket: str, *, activity: bool, now: float) -> Loaded | None:
        """What was found with this ticket, if that is still to be believed; `now` is Unix seconds."""
        copy = self._by_ticket.get(ticket)
        if copy is None or not 0 <= now - copy.when < self._recheck or (activity and not copy.activity):
            return None
        session = copy.loaded.session
        return copy.loaded if now < session.idle_end and now < session.absolute_end else None

    def remember(self, ticket: str, loaded: Loaded, *, activity: bool, now: float, endings: int) -> None:
        """Keep what was found, unless a session ended since `endings` was read, before the look-up."""
        if self._recheck <= 0 or endings != self.endings:
            return
        self._drop(loaded.session.id)
        copy = _Copy(now, ticket, activity, loaded)
        self._copies[loaded.session.id] = copy
        self._by_ticket[ticket] = copy
        while len(self._copies) > MAX_RECENT:
            self._drop(next(iter(self._copies)))

    def forget(self, names: frozenset[str]) -> None:
        """These sessions ended."""
        self.endings += 1
        for name in names:
            self._drop(name)

    def _drop(self, name: str) -> None:
        copy = self._copies.pop(name, None)
        if copy is not None:
            self._by_ticket.pop(copy.ticket, None)
