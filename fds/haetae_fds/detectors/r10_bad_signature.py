"""R10: signatures that do not verify. Clocks that are off and missing signatures are judged by R12 only.

Established (device, address) pairs are given thirty, and are never refused for a fault that many of them have at once.
"""

from haetae_fds.detectors.envelope import over_limit
from haetae_fds.facts import FAULT, Facts
from haetae_fds.finding import Detector, Finding

KINDS = ("sig bad", "sig unknown_key")
LIMIT = 5


class BadSignature(Detector):
    """5 such faults of one (device, address) pair within about a minute."""

    name = "bad_signature"
    wants = FAULT

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        return over_limit(self, f, KINDS, LIMIT, "signatures are wrong")
