"""R4b: a service sees more unfamiliar failures than it ever does, whoever they come from.

Nobody is refused for it: people learn of it and may ask unfamiliar log-ins for more.
"""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import LOGIN, Facts
from haetae_fds.finding import Detector, Finding, api_ref, number
from haetae_fds.state import HOUR


class LowAndSlow(Detector):
    """Unfamiliar failures of ten minutes above the service's own bound."""

    name = "login_failure_surge"
    wants = LOGIN

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        if f.surge is None:
            return None
        count, bound = f.surge
        return (
            self.found(
                f,
                "unfamiliar log-ins fail more than this service is used to",
                (number("failures in ten minutes", count, self.limit(f, bound)),),
                Subject(untrusted=True),
                action=Action.ALERT,
                api=api_ref(f),
                events=(f.event.id,),
                ttl=HOUR,
                campaign="login failure surge",
            )
            if count > self.limit(f, bound)
            else None
        )
