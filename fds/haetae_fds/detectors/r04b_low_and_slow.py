"""R4b: a service sees more unfamiliar failures than it ever does, whoever they come from.

Nobody is refused for it: people learn of it. When that goes on from one new address after the other, where each gains a
try or two before it is asked for more, a person may agree that all strangers are asked for more at that log-in.
"""

from haetae_fds.decision import Action, Subject
from haetae_fds.detectors.r03_stuffing_from_address import HUNT
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.features_browse import size_of_group
from haetae_fds.finding import Detector, Finding, api_ref, number
from haetae_fds.state import HOUR, MINUTE, ApiState

ADDRESSES = 12


class LowAndSlow(Detector):
    """Unfamiliar failures of ten minutes above the service's own bound; 12 new addresses asked for more in an hour."""

    name = "login_failure_surge"
    wants = LOGIN

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        if f.surge is None or f.api is None:
            return None
        count, bound = f.surge
        failures, everyone = number("failures in ten minutes", count, self.limit(f, bound)), Subject(untrusted=True)
        if count <= failures.limit:
            return None
        asked = size_of_group(f.api, HUNT, f.now)
        if asked >= ADDRESSES and not f.pop and not f.narrow:
            return self.found(
                f, "log-ins fail at ever new addresses, so strangers may be asked for more wherever they are",
                (failures, number("addresses", asked, ADDRESSES)), everyone, action=Action.CHALLENGE, api=api_ref(f),
                events=(f.event.id,), ttl=30 * MINUTE, approval=True, campaign="one new address after the other",
            )  # fmt: skip
        return self.found(
            f, "unfamiliar log-ins fail more than this service is used to", (failures,), everyone,
            action=Action.ALERT, api=api_ref(f), events=(f.event.id,), ttl=HOUR, campaign="login failure surge",
        )  # fmt: skip

    def knows(self, api: ApiState) -> bool | None:
        """See `Detector`."""
        return api.fail_mean is not None if api.fail_at else None
