"""R8b: several callers read a lot each, like machines, and belong together by client, network or what they do.

No one of them is far from what a busy person does. Each is judged by six signs: even gaps, hardly ever the same object
twice, an address of a data centre or anonymiser, objects nobody else asks for, a client that hardly any established
identity has, not being signed in where three of four requests are. Two signs, and at least five callers alike, are
enough; signed-in users must also be half of those known to be alike, for whole populations have one app. Once a group
is known, the next of it is judged sooner. While far more than ever is read that nobody else asks for, callers alike who
read hardly anything else are asked for more after a few objects.

Users who have nothing in common but what they do are asked for more: five with three signs, or ten who read what nobody
asks for, and never twice, while far more of that is read than ever.
"""

from haetae_fds.counters import Recent
from haetae_fds.decision import Action, Subject
from haetae_fds.facts import OBJECT, Facts
from haetae_fds.features_browse import busy_group, has_paths, off_the_path
from haetae_fds.finding import Detector, Finding, api_ref, at_address, number
from haetae_fds.state import HOUR, ApiState, Browse

BUSY = 30
SURE = 20
JOINING = 12
SWARMING = 8
LONE = 0.8
TIMES = 4
MEMBERS = 5
SHARE = 0.5
ALONE = 80
LONERS = 10
KNOWN = 1000


class CoordinatedScraping(Detector):
    """5 callers alike, each with 30 objects in an hour and 4 times the API's 90th percentile, and two of six signs.

    Three signs make 20 objects enough, a group that is known 12 and twice the percentile.
    """

    name = "coordinated_scraping"
    wants = OBJECT

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        pair, api = f.pair, f.api
        if pair is None or api is None or pair.browse is None or f.event.san is not None:
            return None
        browse = pair.browse
        if f.swarm and (found := self._swarm(f, browse, api)) is not None:
            return found
        if browse.hour < JOINING * self.factor or (f.user is None and not f.ip):
            return None
        signs, once = _signs(f, browse, api)
        if signs < 2:
            return None
        usual = api.objects.quantile(0.9)
        crowd = 1.0 if f.user is not None else 1.0 + f.pop
        floor = self.limit(f, max(SURE if signs > 2 else BUSY, TIMES * usual)) * crowd
        joining = self.limit(f, max(JOINING, TIMES / 2 * usual)) * crowd
        subject = Subject(user=f.user_key) if f.user is not None else at_address(f, client=f.client, strangers=True)
        numbers = (number("objects in an hour", browse.hour, floor), number("signs of a machine", signs, 2))
        for group, alike in self._groups(f):
            least = max(MEMBERS, SHARE * alike)
            if browse.hour < floor and (browse.hour < joining or _members(api, group, f.now) < least):
                continue
            members = busy_group(api, group, f.actor, f.now)
            if members >= least:
                return self.found(
                    f, "several callers read like machines and belong together",
                    (number("objects in an hour", browse.hour, min(floor, browse.hour)), numbers[1],
                     number("callers alike", members, least)), subject,
                    api=api_ref(f), events=browse.sample, ttl=HOUR, campaign=f"scraping {group}",
                )  # fmt: skip
        if f.user is not None and signs > 2 and browse.hour >= joining:
            members = busy_group(api, "machines", f.actor, f.now)
            if members >= MEMBERS:
                return self._asked(f, browse, joining, members, MEMBERS, "machines")
        if f.user is not None and browse.hour >= max(ALONE, floor) and browse.regular() and once:
            return self.found(
                f, "one user reads like a machine", numbers, subject, action=Action.CHALLENGE,
                api=api_ref(f), events=browse.sample,
            )  # fmt: skip
        return None

    def _swarm(self, f: Facts, browse: Browse, api: ApiState) -> Finding | None:
        """Judge callers alike who all read what nobody asks for, while far more of that is read than ever."""
        crowd = 1.0 if f.user is not None else 1.0 + f.pop
        least = self.limit(f, SWARMING) * crowd
        if browse.hour < least or browse.alone < LONE * browse.hour or not f.ip or not has_paths(api):
            return None
        for group, alike in self._groups(f):
            members, most = busy_group(api, f"swarm {group}", f.actor, f.now), max(MEMBERS, SHARE * alike)
            if members >= most:
                return self.found(
                    f, "several callers alike read what nobody asks for",
                    (number("objects in an hour", browse.hour, least), number("callers alike", members, most)),
                    Subject(user=f.user_key) if f.user is not None else at_address(f, client=f.client, strangers=True),
                    action=Action.CHALLENGE, api=api_ref(f), events=browse.sample, ttl=HOUR,
                    campaign=f"scraping {group}",
                )  # fmt: skip
        least = self.limit(f, JOINING)
        if f.user is not None and browse.hour >= least and _once(browse):
            members = busy_group(api, "loners", f.actor, f.now)
            if members >= LONERS:
                return self._asked(f, browse, least, members, LONERS, "loners")
        return None

    def _asked(self, f: Facts, browse: Browse, least: float, members: int, most: int, group: str) -> Finding:
        """Ask one of several users for more who have nothing in common but what they do."""
        return self.found(
            f, "several users who are nothing alike read like machines",
            (number("objects in an hour", browse.hour, least), number("users who do so", members, most)),
            Subject(user=f.user_key), action=Action.CHALLENGE, api=api_ref(f), events=browse.sample, ttl=HOUR,
            campaign=f"scraping {group}",
        )  # fmt: skip

    def _groups(self, f: Facts) -> list[tuple[str, int]]:
        groups = []
        if f.client is not None and f.cluster is not None:
            # How many use a client without signing in is not known; those who do not sign in are a group of their own.
            alike = 0 if f.cluster.good is None or f.user is None else f.cluster.good.count(f.now)
            groups.append((f.client if f.user is not None else f"anonymous {f.client}", alike))
        if f.net is not None:
            groups.append((f.net_key, f.net.pop(f.now)))
        return groups


def _signs(f: Facts, browse: Browse, api: ApiState) -> tuple[int, bool]:
    """Return how many signs of a machine there are, and whether hardly an object was asked for twice."""
    once = _once(browse)
    outside = f.user is None and api.requests >= KNOWN and 4 * api.by_users >= 3 * api.requests
    return browse.regular() + once + f.datacentre + off_the_path(browse, api) + f.strange + outside, once


def _once(browse: Browse) -> bool:
    """Say whether hardly an object was asked for twice."""
    return browse.hour >= 0.95 * browse.requests


def _members(api: ApiState, group: str, now: int) -> int:
    members: Recent | None = api.busy.get(group)
    return 0 if members is None else members.count(now)
