"""Settings of the engine: modes, what is sensitive, who is never refused, budgets, bounds.

Rules kept: unknown names and impossible values are errors; every bound has a unit. Thresholds of detectors are
constants beside each detector; `factor` scales them. Not here: files, environment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any, Final

from haetae_policy.protected import NOBODY, Protected

from haetae_fds.decision import Mode
from haetae_fds.errors import SettingsInvalid

SENSITIVE: Final = (
    r"(POST|PUT|PATCH|DELETE) .*(transfer|payment|payout|pay\b|withdraw|remit|wire).*",
    r"(POST|PUT|PATCH|DELETE) .*(password|passwd|passcode|credential|mfa|otp|e-?mail|phone|api-?key|token).*",
    r"(POST|PUT|PATCH|DELETE) .*(device|limit|beneficiar|payee|recipient).*",
)
SIGNUP: Final = (r"(POST|PUT) .*(sign-?up|register|registration|join).*", r"(POST|PUT) .*(accounts?|users)/?")


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """One detector: its mode, the share of subjects (0–100) it acts on, and a factor on its limits (0.1–10)."""

    mode: Mode = Mode.ENFORCE
    rollout: float = 100.0
    factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """All settings.

    `sensitive`, `signup` and `decoy_routes` are regular expressions for the whole of "METHOD /template", the last also
    for a route's id, without regard to case. `decoy_accounts` and `decoy_objects` are values nobody honest uses.
    `narrow_ms`: how long a cold engine keeps to narrow subjects. `max_states`: rows per table of state. `protected`,
    whom no machine may refuse, is no setting of the document: the policy service reads the same list.
    """

    mode: Mode = Mode.ENFORCE
    detectors: dict[str, DetectorSettings] = field(default_factory=dict)
    sensitive: tuple[str, ...] = SENSITIVE
    signup: tuple[str, ...] = SIGNUP
    decoy_accounts: frozenset[str] = frozenset()
    decoy_objects: frozenset[str] = frozenset()
    decoy_routes: tuple[str, ...] = ()
    protected: Protected = NOBODY
    narrow_ms: int = 30 * 60_000
    max_states: int = 200_000
    impact_users: int = 20
    impact_share: float = 0.001
    impact_5min_users: int = 6
    impact_5min_share: float = 0.003
    impact_hour_users: int = 20
    impact_hour_share: float = 0.01
    blocks_per_minute: int = 30
    zero_impact_blocks_per_minute: int = 600

    def __post_init__(self) -> None:
        for name in ("sensitive", "signup", "decoy_routes"):
            for pattern in getattr(self, name):
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise SettingsInvalid(f"{name}: {error}") from error
        for name, one in self.detectors.items():
            if not 0 <= one.rollout <= 100 or not 0.1 <= one.factor <= 10:
                raise SettingsInvalid(f"detectors.{name}: rollout is 0 to 100, factor 0.1 to 10")
        for name in ("narrow_ms", "impact_users", "blocks_per_minute", "zero_impact_blocks_per_minute"):
            if getattr(self, name) < 0:
                raise SettingsInvalid(f"{name}: not below 0")
        if self.max_states < 1000:
            raise SettingsInvalid("max_states: at least 1000")

    def of(self, detector: str) -> DetectorSettings:
        """Return the settings of one detector."""
        return self.detectors.get(detector, _DEFAULT)


_DEFAULT: Final = DetectorSettings()


def read_settings(document: dict[str, Any], *, protected: Protected = NOBODY) -> EngineSettings:
    """Read settings from a document (JSON or YAML). Raises SettingsInvalid for anything that is not a setting."""
    known = {item.name for item in fields(EngineSettings)} - {"protected"}
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name in _LISTED:
            raise SettingsInvalid(f"{name}: whom no machine may refuse is listed in the file of --protected")
        if name not in known:
            raise SettingsInvalid(f"{name}: no such setting")
        default = getattr(_PLAIN, name)
        if name == "detectors":
            values[name] = _detectors(value)
        elif name == "mode":
            values[name] = _mode(name, value)
        elif isinstance(default, tuple | frozenset):
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise SettingsInvalid(f"{name}: a list of texts")
            values[name] = type(default)(value)
        elif isinstance(value, bool) or not isinstance(value, (int, float) if isinstance(default, float) else int):
            raise SettingsInvalid(f"{name}: a number")
        else:
            values[name] = value
    return EngineSettings(protected=protected, **values)


def _mode(name: str, value: object) -> Mode:
    try:
        # YAML reads `off` as false.
        return Mode.OFF if value is False else Mode(str(value))
    except ValueError as error:
        raise SettingsInvalid(f"{name}: off, shadow or enforce") from error


def _detectors(value: object) -> dict[str, DetectorSettings]:
    if not isinstance(value, dict):
        raise SettingsInvalid("detectors: an object by detector")
    read = {}
    for name, one in value.items():
        if not isinstance(one, dict) or one.keys() - {"mode", "rollout", "factor"}:
            raise SettingsInvalid(f"detectors.{name}: mode, rollout, factor")
        numbers = {key: one[key] for key in ("rollout", "factor") if key in one}
        if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers.values()):
            raise SettingsInvalid(f"detectors.{name}: rollout and factor are numbers")
        if "mode" in one:
            read[str(name)] = DetectorSettings(mode=_mode(f"detectors.{name}.mode", one["mode"]), **numbers)
        else:
            read[str(name)] = DetectorSettings(**numbers)
    return read


_PLAIN: Final = EngineSettings()
_LISTED: Final = ("protected", "never_block", "never_users", "never_devices", "never_sans")
