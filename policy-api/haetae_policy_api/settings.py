"""Settings of the policy service, read once and strictly. Unknown names are errors; every limit has its unit.

Does not read files or the environment; the composition root does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from haetae_policy.protected import NOBODY, Protected
from haetae_policy.rules import Rules

from haetae_policy_api.errors import SettingsInvalid
from haetae_policy_api.roles import Role

_PREFIX_RANGES: Final = {"wide_v4": 32, "wide_v6": 128}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an installation may choose.

    | setting | unit, meaning |
    |---|---|
    | `prefix` | of every key in the store, and of the event streams |
    | `groups` | which group of the Passport (`usr.groups`) gives which role |
    | `services` | names of services (Passport `svc`) and the scopes each has |
    | `wide_v4`, `wide_v6` | a network with a shorter prefix needs a second person |
    | `share_limit` | of recent requests a policy may hit before it needs a second person (machines: observes) |
    | `share_least` | recent requests below which shares say nothing and are not checked |
    | `machine_per_minute` | policies one machine may make in a minute |
    | `most_pending` | policies that may wait for a second person |
    | `pending_s` | seconds until one that waits is dropped |
    | `batch` | policies in one batch |
    | `idempotency_s` | seconds an answer is kept under its Idempotency-Key |
    | `traffic_events`, `traffic_s` | recent events kept for previews, and for how many seconds |
    | `event_shards` | event streams to follow |
    | `watch_s` | seconds during which a new policy's refusals are compared with the prediction |
    | `rollback_factor`, `rollback_floor` | it goes back to shadow above factor times the prediction and this many |
    | `origins` | origins of browsers that may send changes besides the service's own |
    | `body_bytes` | largest request |

    `protected`, whom no machine may name, is no setting of this document: the fraud detection reads the same list.
    """

    prefix: str = "haetae:"
    groups: Mapping[str, Role] = field(default_factory=dict)
    services: Mapping[str, frozenset[str]] = field(default_factory=dict)
    protected: Protected = NOBODY
    wide_v4: int = 16
    wide_v6: int = 32
    share_limit: float = 0.02
    share_least: int = 1000
    machine_per_minute: int = 600
    most_pending: int = 1000
    pending_s: int = 86_400
    batch: int = 10_000
    idempotency_s: int = 86_400
    traffic_events: int = 200_000
    traffic_s: int = 900
    event_shards: int = 1
    watch_s: int = 900
    rollback_factor: float = 5.0
    rollback_floor: int = 200
    origins: frozenset[str] = frozenset()
    body_bytes: int = 16 * 1024 * 1024

    def rules(self) -> Rules:
        """Return the rules of the policy language for this installation."""
        return Rules(protected=self.protected, wide_v4=self.wide_v4, wide_v6=self.wide_v6)


def parse_settings(document: object, *, protected: Protected = NOBODY) -> Settings:
    """Return the settings of a decoded YAML or JSON object; raises SettingsInvalid, naming the setting."""
    if not isinstance(document, Mapping):
        raise SettingsInvalid("settings must be a mapping")
    known = {item.name for item in fields(Settings)} - {"protected"}
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name in ("protected", "protected_subjects"):
            raise SettingsInvalid(f"{name}: whom no machine may block is listed in the file of --protected")
        if name not in known:
            raise SettingsInvalid(f"{name}: there is no such setting")
        values[name] = _value(name, value)
    return Settings(protected=protected, **values)


def _value(name: str, value: object) -> Any:
    if name == "groups":
        return {group: _role(role) for group, role in _mapping(name, value).items()}
    if name == "services":
        return {service: frozenset(_texts(name, scopes)) for service, scopes in _mapping(name, value).items()}
    if name == "origins":
        return frozenset(_texts(name, value))
    if name == "prefix":
        if not isinstance(value, str) or not value or "{" in value or "}" in value:
            raise SettingsInvalid("prefix: must be a text without braces")
        return value
    if name in ("share_limit", "rollback_factor"):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1000:
            raise SettingsInvalid(f"{name}: must be a number above 0")
        return float(value)
    if type(value) is not int or not 1 <= value <= _PREFIX_RANGES.get(name, 1 << 30):
        raise SettingsInvalid(f"{name}: must be a whole number of at least 1")
    return value


def _role(value: object) -> Role:
    try:
        return Role[str(value).upper()]
    except KeyError:
        raise SettingsInvalid(f"groups: {value} is no role; there are viewer, analyst, approver, admin") from None


def _mapping(name: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise SettingsInvalid(f"{name}: must be a mapping of names")
    return value


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
        raise SettingsInvalid(f"{name}: must be a list of texts")
    return [str(item) for item in value]
