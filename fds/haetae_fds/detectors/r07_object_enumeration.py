"""R7: one actor asks for many objects and is denied most.

When many established users are denied at once, we have broken something: people are told instead.
"""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import OBJECT, Facts
from haetae_fds.features_browse import busy_group
from haetae_fds.finding import Detector, Finding, api_ref, number, of_actor
from haetae_fds.state import HOUR, MIN10

OBJECTS = 15
DENIED = 10
NETWORK = 3
TOGETHER = 3
ENOUGH = 50
MEMBERS = 5
GUARD_USERS = 8
GUARD_SHARE = 0.05


class ObjectEnumeration(Detector):
    """15 different objects and 10 denied in ten minutes; three times that for all of a network's strangers.

    3 denied each are enough for 5 newcomers with one client that hardly any established identity has.
    """

    name = "object_enumeration"
    wants = OBJECT

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        if f.api is None or f.event.san is not None or f.event.status not in (403, 404):
            return None
        for pair, base, pop in ((f.pair, 1, f.pop), (f.net_pair, NETWORK, 0 if f.net is None else f.net.pop(f.now))):
            if pair is None or pair.browse is None or pair.browse.denied is None:
                continue
            stretch = base if f.user is not None else base + 0.2 * pop
            objects, denied = pair.browse.objects.count(f.now), pair.browse.denied.read(f.now, MIN10)
            most, least = self.limit(f, OBJECTS * stretch), self.limit(f, DENIED * stretch)
            if objects < most or denied < least:
                continue
            numbers = (number("objects", objects, most), number("denied", denied, least))
            ours = 0 if f.api.deny_users is None else f.api.deny_users.count(f.now)
            if ours >= max(GUARD_USERS, GUARD_SHARE * f.active):
                return self.found(
                    f, "many established users are denied at once", (number("users", ours, GUARD_USERS),),
                    Subject(untrusted=True), action=Action.ALERT, api=api_ref(f), events=pair.browse.sample,
                )  # fmt: skip
            subject = of_actor(f) if pair is f.pair else Subject(ip=f.net_key, untrusted=True)
            return self.found(
                f, "one caller asks for many objects and is denied", numbers, subject,
                action=Action.BLOCK if pair is f.pair or not pop else Action.CHALLENGE,
                api=api_ref(f), events=pair.browse.sample,
            )  # fmt: skip
        return self._together(f)

    def _together(self, f: Facts) -> Finding | None:
        """Judge newcomers with one client that nobody established has, each denied a little."""
        browse = None if f.pair is None else f.pair.browse
        if f.user is None or f.user_key is None or f.api is None or browse is None or browse.denied is None:
            return None
        newcomer = not f.user.first_good or f.now - f.user.first_good < HOUR
        if not newcomer or f.client is None or not f.rare or f.active < ENOUGH:
            return None
        denied, least = browse.denied.read(f.now, MIN10), self.limit(f, TOGETHER)
        if denied < least - 0.5 or 2 * denied < browse.objects.count(f.now):
            return None
        members = busy_group(f.api, f"denied {f.client}", f.actor, f.now)
        if members < MEMBERS:
            return None
        return self.found(
            f, "several callers alike ask for objects and are denied",
            (number("denied", max(denied, least), least), number("callers alike", members, MEMBERS)),
            Subject(user=f.user_key), api=api_ref(f), events=browse.sample, campaign=f"objects {f.client}",
        )  # fmt: skip
