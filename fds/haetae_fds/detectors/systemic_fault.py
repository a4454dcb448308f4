"""Systemic fault: many established devices of one version fail in the same way. Our mistake, and people are told."""

from haetae_fds.detectors.envelope import incident
from haetae_fds.facts import FAULT, Facts
from haetae_fds.finding import Detector, Finding


class SystemicFault(Detector):
    """8 established pairs and 0.3 % of a version's active devices with one fault within two minutes."""

    name = "systemic_fault"
    wants = FAULT

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        return incident(self, f)
