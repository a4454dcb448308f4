"""The list of detectors: one line each, in the order they are asked."""

from typing import Final

from haetae_fds.detectors.r01_account_brute_force import AccountBruteForce
from haetae_fds.detectors.r02_single_source_brute_force import SingleSourceBruteForce
from haetae_fds.detectors.r03_stuffing_from_address import StuffingFromAddress
from haetae_fds.detectors.r04_distributed_stuffing import DistributedStuffing
from haetae_fds.detectors.r04b_low_and_slow import LowAndSlow
from haetae_fds.detectors.r05_spraying import Spraying
from haetae_fds.detectors.r06_user_enumeration import UserEnumeration
from haetae_fds.detectors.r07_object_enumeration import ObjectEnumeration
from haetae_fds.detectors.r07b_sweep import Sweep
from haetae_fds.detectors.r08_scraping import Scraping
from haetae_fds.detectors.r08b_coordinated_scraping import CoordinatedScraping
from haetae_fds.detectors.r09_replay import Replay
from haetae_fds.detectors.r10_bad_signature import BadSignature
from haetae_fds.detectors.r11_decrypt_failure import DecryptFailure
from haetae_fds.detectors.r12_app_analysis import AppAnalysis
from haetae_fds.detectors.r13_scanner import Scanner
from haetae_fds.detectors.r14_takeover import Takeover
from haetae_fds.detectors.r14b_takeover_confirmed import TakeoverConfirmed
from haetae_fds.detectors.r15_stolen_session import StolenSession
from haetae_fds.detectors.r16_flood import Flood
from haetae_fds.detectors.r17_canary import Canary
from haetae_fds.detectors.r18_mass_signup import MassSignup
from haetae_fds.detectors.r19_network_aggregate import NetworkAggregate
from haetae_fds.detectors.systemic_fault import SystemicFault
from haetae_fds.finding import Detector

DETECTORS: Final[tuple[type[Detector], ...]] = (
    AccountBruteForce,
    SingleSourceBruteForce,
    StuffingFromAddress,
    DistributedStuffing,
    LowAndSlow,
    Spraying,
    UserEnumeration,
    ObjectEnumeration,
    Sweep,
    Scraping,
    CoordinatedScraping,
    SystemicFault,
    Replay,
    BadSignature,
    DecryptFailure,
    AppAnalysis,
    Scanner,
    Takeover,
    TakeoverConfirmed,
    StolenSession,
    Flood,
    Canary,
    MassSignup,
    NetworkAggregate,
)
