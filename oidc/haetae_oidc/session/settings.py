"""How long staff sessions live and what they are called in the store.

Rules kept: checked once, when made; every time has a unit and a bound.

Not done here: reading configuration.
"""

import re
from dataclasses import dataclass
from typing import Final

from haetae_oidc.errors import SettingsInvalid

MAX_ABSOLUTE: Final = 30 * 86_400
MAX_REMEMBERED: Final = 60.0
MAX_RECHECK: Final = 2.0
_PREFIX: Final = re.compile(r"[A-Za-z0-9:_{}.-]{0,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """Times in seconds. Raises SettingsInvalid for values that cannot work or cannot be safe.

    - `idle`: a session ends after so long without activity; `absolute`: after so long at any rate.
    - `refresh_before`: the part of an access token's life that is left when it is refreshed, 0 to 0.9.
    - `grace`: how long an old ticket is good after its successor was first used.
    - `remembered`: how long a copy in memory may stand in for a store that does not answer; 0 to 60, 0 is never. The
      copy is never used while the store answers.
    - `recheck`: a session that was just looked up is believed for so long, 0 to 2, while this worker hears of sessions
      that end; 0 looks it up for every request. An ending is known at once on the worker that makes it, and within
      milliseconds on the others.
    - `pending`: how long a login may take; `pending_per_browser`: logins under way in one browser.
    - `deadline`: of one call to the store.
    - `prefix`: of all keys in the store.
    """

    idle: int = 1800
    absolute: int = 43_200
    refresh_before: float = 0.2
    grace: int = 10
    remembered: float = 0.0
    recheck: float = 1.0
    pending: int = 600
    pending_per_browser: int = 10
    deadline: float = 0.1
    prefix: str = "haetae:"

    def __post_init__(self) -> None:
        if not 30 <= self.idle <= self.absolute <= MAX_ABSOLUTE:
            raise SettingsInvalid(f"idle is at least 30 s and at most absolute, absolute at most {MAX_ABSOLUTE} s")
        if not 0 <= self.refresh_before <= 0.9 or not 0 <= self.grace <= 60:
            raise SettingsInvalid("refresh_before is 0 to 0.9, grace 0 to 60 s")
        if not 0 <= self.remembered <= MAX_REMEMBERED:
            raise SettingsInvalid(f"remembered is 0 to {MAX_REMEMBERED:.0f} s")
        if not 0 <= self.recheck <= MAX_RECHECK:
            raise SettingsInvalid(f"recheck is 0 to {MAX_RECHECK:.0f} s")
        if not 60 <= self.pending <= 3600 or not 1 <= self.pending_per_browser <= 50:
            raise SettingsInvalid("pending is 60 to 3600 s, pending_per_browser 1 to 50")
        if not 0.01 <= self.deadline <= 10:
            raise SettingsInvalid("deadline is 0.01 to 10 s")
        if _PREFIX.fullmatch(self.prefix) is None:
            raise SettingsInvalid("prefix has at most 64 characters of A-Z a-z 0-9 : _ { } . -")

    @property
    def touch_every(self) -> float:
        """Activity is written at most so often: an idle end may be early by this much, never late."""
        return min(60.0, self.idle / 20)
