"""R7b: one actor walks through object ids in equal steps.

How long such walks are among this API's other users counts: lists of one's own things have neighbouring ids too.
"""

from haetae_fds.facts import OBJECT, Facts
from haetae_fds.finding import Detector, Finding, api_ref, number, of_actor
from haetae_fds.state import ApiState

RUN = 12
ENOUGH = 50


class Sweep(Detector):
    """12 equal steps in a row, and more than twice what one in a thousand walks of this API has."""

    name = "object_sweep"
    wants = OBJECT

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        pair, api = f.pair, f.api
        if (
            f.event.san is not None
            or pair is None
            or api is None
            or pair.browse is None
            or pair.browse.run < RUN * self.factor
        ):
            return None
        usual = api.runs.quantile(0.999) if self.knows(api) else 0.0
        limit = self.limit(f, max(RUN, 2 * usual))
        if pair.browse.run < limit:
            return None
        return self.found(
            f,
            f"object ids are asked for in steps of {pair.browse.step}",
            (number("equal steps", pair.browse.run, limit),),
            of_actor(f),
            api=api_ref(f),
            events=pair.browse.sample,
            warm=self.knows(api) is True,
        )

    def knows(self, api: ApiState) -> bool | None:
        """See `Detector`."""
        return api.runs.total >= ENOUGH if api.runs.total else None
