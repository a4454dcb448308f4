"""R8b: several signed-in users read a lot each, like machines, and belong together by client or network.

No one of them is far from what a busy person does. Each is judged by three signs: even gaps, hardly ever the same
object twice, an address of a data centre or anonymiser. Two signs, and at least five users alike, are enough.
"""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import OBJECT, Facts
from haetae_fds.features_browse import busy_group
from haetae_fds.finding import Detector, Finding, api_ref, number
from haetae_fds.state import HOUR

BUSY = 30
TIMES = 4
MEMBERS = 5
SHARE = 0.5
ALONE = 80


class CoordinatedScraping(Detector):
    """5 users alike, each with 30 objects in an hour and 4 times the API's 90th percentile, and two of three signs."""

    name = "coordinated_scraping"
    wants = OBJECT

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        pair, api = f.pair, f.api
        if pair is None or api is None or pair.browse is None or f.user is None or f.event.san is not None:
            return None
        browse = pair.browse
        if browse.hour < BUSY * self.factor:
            return None
        floor = self.limit(f, max(BUSY, TIMES * api.objects.quantile(0.9)))
        if browse.hour < floor:
            return None
        datacentre = f.place is not None and f.place.kind in ("hosting", "vpn/tor")
        once = browse.hour >= 0.95 * browse.requests
        signs = browse.regular() + once + datacentre
        if signs < 2:
            return None
        subject = Subject(user=f.user_key)
        numbers = (number("objects in an hour", browse.hour, floor), number("signs of a machine", signs, 2))
        for group, alike in self._groups(f):
            members = busy_group(api, group, f.actor, f.now)
            if members >= MEMBERS and members >= SHARE * alike:
                return self.found(
                    f, "several users read like machines and belong together",
                    (*numbers, number("users alike", members, MEMBERS)), subject,
                    api=api_ref(f), events=browse.sample, ttl=HOUR, campaign=f"scraping {group}",
                )  # fmt: skip
        if browse.hour >= max(ALONE, floor) and browse.regular() and once:
            return self.found(
                f, "one user reads like a machine", numbers, subject, action=Action.CHALLENGE,
                api=api_ref(f), events=browse.sample,
            )  # fmt: skip
        return None

    def _groups(self, f: Facts) -> list[tuple[str, int]]:
        groups = []
        if f.client is not None and f.cluster is not None:
            groups.append((f.client, 0 if f.cluster.good is None else f.cluster.good.count(f.now)))
        if f.net is not None:
            groups.append((f.net_key, f.net.pop(f.now)))
        return groups
