"""R16: one actor calls one API far more often than ever before and than others do. A lower rate is the answer."""

from haetae_fds.decision import Action
from haetae_fds.facts import VOLUME, Facts
from haetae_fds.finding import Detector, Finding, api_ref, number, of_actor
from haetae_fds.state import ApiState

FLOOR = 300
TIMES = 20
ENOUGH = 500


class Flood(Detector):
    """More than 300 requests in a minute, 20 times the actor's own 99th percentile, and the API's 99.9th."""

    name = "flood"
    wants = VOLUME

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        pair, api = f.pair, f.api
        if pair is None or api is None or f.event.san is not None or pair.minute < FLOOR * self.factor:
            return None
        usual = api.minutes.quantile(0.999)
        shared = 1.0 + f.pop / 4 if f.user is None and f.device is None else 1.0
        limit = self.limit(f, max(FLOOR, TIMES * pair.usual, usual) * shared)
        if pair.minute < limit:
            return None
        return self.found(
            f, "one caller floods an API", (number("requests in a minute", pair.minute, limit),), of_actor(f),
            action=Action.THROTTLE, api=api_ref(f), events=(f.event.id,), rate=(max(30, round(2 * pair.usual)), 60),
            warm=self.knows(api),
        )  # fmt: skip

    def knows(self, api: ApiState) -> bool:
        """See `Detector`."""
        return api.minutes.total >= ENOUGH
