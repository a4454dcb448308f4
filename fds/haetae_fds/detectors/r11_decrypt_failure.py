"""R11: bodies that cannot be opened. An old key version is no failure.

Established (device, address) pairs are given thirty, and are never refused for a fault that many of them have at once.
"""

from haetae_fds.detectors.envelope import over_limit
from haetae_fds.facts import FAULT, Facts
from haetae_fds.finding import Detector, Finding

KINDS = ("decrypt",)
LIMIT = 5


class DecryptFailure(Detector):
    """5 such faults of one (device, address) pair within about a minute."""

    name = "decrypt_failure"
    wants = FAULT

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        return over_limit(self, f, KINDS, LIMIT, "bodies cannot be opened")
