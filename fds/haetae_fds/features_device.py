"""Who has always come with a device and now comes without it: a sign of theft where practically everybody has one.

Rules kept: it takes an hour of life, the user's own history (a device that is at home with him, no good use without one
within a month) and the service's (of the established people who call the API, or any while few of them call it, hardly
one comes without). Not here: where the user is at home, what follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from haetae_fds.facts import Facts
from haetae_fds.state import HOUR, MONTH, Carriers, User

if TYPE_CHECKING:
    from haetae_fds.features import Features

#: Established people who bring a device, from which on it is known how people come to an API.
KNOWN: Final = 20
#: Of the established, those who come without: from this share on it is nothing special.
COMMON: Final = 0.05


def note_device(features: Features, f: Facts, key: str) -> None:
    """Count how an established person comes to an API, and at all."""
    carried = f.device is not None
    features.carriers.add(key, f.now, carried=carried)
    if f.api is not None:
        if f.api.carriers is None:
            f.api.carriers = Carriers()
        f.api.carriers.add(key, f.now, carried=carried)


def device_missing(features: Features, f: Facts, user: User) -> bool:
    """Say whether a user who never came without his device does so now, where hardly anybody does."""
    now = f.now
    if f.device is not None or f.faults or now - features.began < HOUR:
        return False
    if user.bare_at and now - user.bare_at < MONTH:
        return False
    homes = user.homes
    if not any(context.startswith("d:") and homes.settled(context, now) for context in homes.at):
        return False
    people, bare = (0, 0) if f.api is None or f.api.carriers is None else f.api.carriers.counts(now)
    if people < KNOWN:
        people, bare = features.carriers.counts(now)
    return people >= KNOWN and bare < COMMON * (people + bare)
