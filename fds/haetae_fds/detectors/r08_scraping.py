"""R8: one actor reads far more objects than others do.

Compared with the API's own users. Even gaps between requests lower the limit. The first answer is a lower rate, the
second, a minute later, a block. Partners' batches are not judged by what people do.
"""

from haetae_fds.counters import Spread
from haetae_fds.decision import Action
from haetae_fds.facts import OBJECT, Facts
from haetae_fds.finding import Detector, Finding, api_ref, number, of_actor
from haetae_fds.state import ApiState

OBJECTS = 150
HOURLY = 400
DAILY = 1500
ITEMS = 3000
TIMES = 3
ENOUGH = 200
AUTOMATIC = 0.67
WORKDAY = 8
RATE = (10, 60)


class Scraping(Detector):
    """More than 150 objects in ten minutes and 3 times the API's 99.9th percentile; 400 an hour; 3,000 list items.

    1,500 a day of a user or device: an address may be many people's, who are few at any time and many in a day. Until
    200 whole days of others have been seen, eight of the API's greatest hours make one.
    """

    name = "scraping"
    wants = OBJECT

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        pair, api = f.pair, f.api
        if pair is None or api is None or pair.browse is None or f.event.san is not None:
            return None
        browse = pair.browse
        stretch = (AUTOMATIC if browse.regular() else 1.0) * (1.0 if f.user is not None else 1.0 + f.pop)
        objects = browse.objects.count(f.now)
        day = browse.day if f.user is not None or f.device is not None else 0
        for name, value, floor, others in (
            ("objects in ten minutes", objects, OBJECTS, api.objects),
            ("objects in an hour", browse.hour, HOURLY, api.objects_hour),
            ("objects in a day", day, DAILY, api.objects_day),
            ("list items in ten minutes", browse.items, ITEMS, api.items),
        ):
            most = _most(api, others) if TIMES * value > floor * self.factor else 0.0
            limit = self.limit(f, max(floor, most) * stretch)
            if value > limit:
                return self.found(
                    f,
                    "one caller reads far more than others do",
                    (number(name, value, limit),),
                    of_actor(f),
                    action=Action.THROTTLE,
                    api=api_ref(f),
                    events=browse.sample,
                    rate=RATE,
                    warm=self.knows(api) is True,
                )
        return None

    def knows(self, api: ApiState) -> bool | None:
        """See `Detector`."""
        return api.objects.total >= ENOUGH if api.asked else None


def _most(api: ApiState, others: Spread) -> float:
    if others is api.objects_day and others.total < ENOUGH:
        return WORKDAY * api.objects_hour.quantile(0.999)
    return TIMES * others.quantile(0.999)
