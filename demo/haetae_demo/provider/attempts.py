"""Counting wrong passwords, so that guessing is slow.

Rules kept: bounded; after :data:`MOST` wrong passwords for one name within a minute, even the right one has to
wait for the minute to end. Time is an argument.
"""

MOST = 10
WINDOW = 60.0
MAX_NAMES = 5_000


class Attempts:
    """Wrong passwords by username."""

    def __init__(self) -> None:
        self._wrong: dict[str, tuple[float, int]] = {}

    def must_wait(self, username: str, *, now: float) -> bool:
        """Whether this name has used up its attempts, or too many names are being tried at once."""
        if len(self._wrong) >= MAX_NAMES:
            self._wrong = {name: kept for name, kept in self._wrong.items() if now - kept[0] < WINDOW}
        if username not in self._wrong:
            return len(self._wrong) >= MAX_NAMES
        began, count = self._wrong[username]
        return count >= MOST and now - began < WINDOW

    def failed(self, username: str, *, now: float) -> None:
        """Count one."""
        began, count = self._wrong.get(username, (now, 0))
        self._wrong[username] = (now, 1) if now - began >= WINDOW else (began, count + 1)

    def succeeded(self, username: str) -> None:
        """Start anew."""
        self._wrong.pop(username, None)
