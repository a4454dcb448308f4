"""Whom a model or a proposed rule means by the caller of an event."""

from __future__ import annotations

from haetae_fds.decision import Subject
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.finding import at_address, of_actor


def subject_of(f: Facts) -> Subject:
    """Return the narrowest verified identity; at log-in, strangers at the address that look like this."""
    if f.triggers & LOGIN and f.device is None:
        return at_address(f, client=f.client, strangers=True)
    return of_actor(f)
