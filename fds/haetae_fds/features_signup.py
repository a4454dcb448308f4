"""Sign-up features: what one new or asked-for name adds to the device, the address, the network and the client.

Rules kept: services may sign newcomers in at once, so an outcome of the auth service makes a sign-up no log-in, unless
it says that a secret was wrong or the name has signed in before; where no outcome and no API says what it is, a name
without a secret does. Not here: limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from haetae_fds.counters import Recent, note
from haetae_fds.facts import SIGNUP, Facts
from haetae_fds.features_login import tally
from haetae_fds.state import MIN10, Signups

if TYPE_CHECKING:
    from haetae_fds.features import Features


def update_signup(features: Features, f: Facts) -> None:
    """Count one sign-up, or one name asked for."""
    event = f.event
    refused = event.status is not None and event.status >= 400
    if f.api is None or not f.api.mutating or (refused and event.acct is None):
        return
    if event.auth is not None and (event.auth.value != "ok" or _has_signed_in(features, event.acct)):
        return
    name = event.acct or event.user or event.obj or event.id
    f.triggers |= SIGNUP
    if event.acct is not None and not refused:
        features.accounts.touch(event.acct, f.now).made_at = f.now
    if f.device is not None:
        if f.device.signups is None:
            f.device.signups = Recent(MIN10)
        f.device.signups.add(name, f.now)
    for one in (f.place, f.net, f.cluster):
        if one is None:
            continue
        if one.signups is None:
            one.signups = Signups()
        one.signups.names.add(name, f.now)
        note(one.signups.sample, event.id)
        if f.client is not None:
            tally(one.signups.clients, f.client)
        one.signups.rare += f.rare
        if one is f.cluster:
            one.signups.ips.add(f.ip, f.now)


def _has_signed_in(features: Features, name: str | None) -> bool:
    """Say whether this name is nobody's new one, whatever patterns take its log-in for a sign-up."""
    account = None if name is None else features.accounts.get(name)
    return account is not None and account.ok_at > 0
