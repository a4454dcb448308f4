"""R9: accepted requests are sent again. A retry that got no answer is none of them.

Established (device, address) pairs are given thirty, and are never refused for a fault that many of them have at once.
"""

from haetae_fds.detectors.envelope import over_limit
from haetae_fds.facts import FAULT, Facts
from haetae_fds.finding import Detector, Finding

KINDS = ("replay",)
LIMIT = 3


class Replay(Detector):
    """3 such faults of one (device, address) pair within about a minute."""

    name = "replay"
    wants = FAULT

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        return over_limit(self, f, KINDS, LIMIT, "requests are sent again that were accepted before")
