"""The list of detectors: one line each, in the order they are asked."""

from typing import Final

from haetae_fds.detectors.r01_account_brute_force import AccountBruteForce
from haetae_fds.detectors.r02_single_source_brute_force import SingleSourceBruteForce
from haetae_fds.detectors.r03_stuffing_from_address import StuffingFromAddress
from haetae_fds.finding import Detector

DETECTORS: Final[tuple[type[Detector], ...]] = (
    AccountBruteForce,
    SingleSourceBruteForce,
    StuffingFromAddress,
)
