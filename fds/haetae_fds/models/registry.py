"""Which versions of which models there are, what each may do, and what it takes to be allowed more.

A version begins in shadow. `enforce` (halve limits, challenge, throttle) takes fourteen days in shadow and 99.5 %
precision of reviewed findings (lower 95 % bound), or an owner who answers for it by name. `block` takes all three.
Every step is written down with who, why and on what evidence.

Rules kept: bounded; one version of a name acts at a time; what is retired stays retired. Not here: files, clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import orjson

from haetae_fds.errors import ModelInvalid
from haetae_fds.models.measures import wilson
from haetae_fds.models.roles import LABELS, NOVELTY, OFFLINE, Role
from haetae_fds.state import DAY

FORMAT: Final = 1
MAX_ENTRIES: Final = 1000
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_TEXT: Final = 500
SHADOW_DAYS: Final = 14
PRECISION: Final = 0.995
_ONLINE: Final = (NOVELTY, LABELS)


class Stage(StrEnum):
    """What a version may do; `retired` is for good."""

    SHADOW = "shadow"
    ENFORCE = "enforce"
    BLOCK = "block"
    RETIRED = "retired"


_ACTING: Final = (Stage.ENFORCE, Stage.BLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of stage, at Unix ms."""

    at: int
    to: Stage
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One version. `sha256` is of its model file, empty for models that learn while running and have no file."""

    name: str
    version: int
    stage: Stage
    made: int
    sha256: str = ""
    steps: tuple[Step, ...] = ()

    def since(self) -> int:
        """Return when it came to its stage."""
        return self.steps[-1].at if self.steps else self.made


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What people said of a model's findings while it was in shadow."""

    right: int = 0
    wrong: int = 0

    def bound(self) -> float:
        """Return the lower 95 % bound of its precision."""
        return wilson(self.right, self.right + self.wrong)[0]


@dataclass(frozen=True, slots=True)
class Registry:
    """All versions, by (name, version)."""

    entries: Mapping[tuple[str, int], Entry] = field(default_factory=dict)

    def get(self, name: str, version: int) -> Entry:
        """Return one version; models that learn while running are there from the beginning. Raises ModelInvalid."""
        found = self.entries.get((name, version))
        if found is None and name in _ONLINE and version == 1:
            return Entry(name=name, version=1, stage=Stage.SHADOW, made=0)
        if found is None:
            raise ModelInvalid(f"there is no version {version} of {name}")
        return found

    def all(self) -> list[Entry]:
        """Return every version, the newest of each name first."""
        online = [self.get(name, 1) for name in _ONLINE]
        rest = [entry for entry in self.entries.values() if entry.name not in _ONLINE]
        return online + sorted(rest, key=lambda entry: (entry.name, -entry.version))

    def newest(self, name: str) -> int:
        """Return the highest version, 0 when there is none."""
        return max((version for held, version in self.entries if held == name), default=0)

    def role(self, name: str) -> Role:
        """Return what a model that learns while running may do."""
        stage = self.get(name, 1).stage
        return Role.SHADOW if stage is Stage.RETIRED else Role(stage.value)

    def champion(self) -> Entry | None:
        """Return the trained version that acts."""
        return next((e for e in self.all() if e.name == OFFLINE and e.stage in _ACTING), None)

    def challenger(self) -> Entry | None:
        """Return the newest trained version in shadow."""
        return next((e for e in self.all() if e.name == OFFLINE and e.stage is Stage.SHADOW), None)

    def added(self, entry: Entry) -> Registry:
        """Return a registry with a new version. Raises ModelInvalid when it is there, or there are too many."""
        if (entry.name, entry.version) in self.entries or len(self.entries) >= MAX_ENTRIES:
            raise ModelInvalid(f"version {entry.version} of {entry.name} exists, or there are too many")
        return Registry({**self.entries, (entry.name, entry.version): entry})

    def moved(
        self, name: str, version: int, to: Stage, *, by: str, why: str, now: int, reviewed: Reviewed, owner: str | None
    ) -> Registry:
        """Return a registry in which a version came to another stage; the version it takes over from goes to shadow.

        Raises ModelInvalid: not allowed, with what is missing.
        """
        entry = self.get(name, version)
        if entry.stage is Stage.RETIRED:
            raise ModelInvalid(f"version {version} of {name} is retired; train a new one")
        if len(why) > MAX_TEXT or len(by) > MAX_TEXT or not by:
            raise ModelInvalid(f"who and why are texts of at most {MAX_TEXT} characters, and somebody must be named")
        evidence = why
        if to in _ACTING:
            evidence = f"{_allowed(entry, to, now=now, reviewed=reviewed, owner=owner)}; {why}".rstrip("; ")
        entries = dict(self.entries)
        for other in self.all():
            beside = other.name == name and other.version != version
            if beside and to in _ACTING and other.stage in _ACTING:
                entries[name, other.version] = _step(other, Stage.SHADOW, now, by, f"version {version} took over")
        entries[name, version] = _step(entry, to, now, by, evidence[: 2 * MAX_TEXT])
        return Registry(entries)


def _allowed(entry: Entry, to: Stage, *, now: int, reviewed: Reviewed, owner: str | None) -> str:
    """Return the evidence that allows a promotion. Raises ModelInvalid with all that is missing."""
    days = (now - entry.since()) / DAY if entry.stage is Stage.SHADOW and entry.since() else 0.0
    if entry.stage is Stage.ENFORCE and entry.steps:
        before = [step.at for step in entry.steps[:-1]] or [entry.made]
        days = (entry.steps[-1].at - before[-1]) / DAY
    proven = days >= SHADOW_DAYS and reviewed.bound() >= PRECISION
    numbers = (
        f"{days:.1f} days in shadow, {reviewed.right} of {reviewed.right + reviewed.wrong} reviewed findings right "
        f"(at least {100 * reviewed.bound():.1f} %)"
    )
    if to is Stage.BLOCK and not (proven and owner):
        raise ModelInvalid(f"to refuse takes {SHADOW_DAYS} days, {100 * PRECISION} % and an owner; there is: {numbers}")
    if not (proven or owner):
        raise ModelInvalid(f"takes {SHADOW_DAYS} days and {100 * PRECISION} %, or an owner; there is: {numbers}")
    return f"{numbers}, owner {owner}" if owner else numbers


def _step(entry: Entry, to: Stage, now: int, by: str, why: str) -> Entry:
    return replace(entry, stage=to, steps=(*entry.steps[-50:], Step(at=now, to=to, by=by, why=why)))


def write_registry(registry: Registry) -> bytes:
    """Return the file's bytes."""
    return orjson.dumps(
        {
            "format": FORMAT,
            "models": [
                {
                    "name": entry.name,
                    "version": entry.version,
                    "stage": entry.stage.value,
                    "made": entry.made,
                    "sha256": entry.sha256,
                    "steps": [{"at": s.at, "to": s.to.value, "by": s.by, "why": s.why} for s in entry.steps],
                }
                for entry in registry.all()
            ],
        },
        option=orjson.OPT_INDENT_2,
    )


def read_registry(data: bytes) -> Registry:
    """Read a registry file. Raises ModelInvalid."""
    if len(data) > MAX_BYTES:
        raise ModelInvalid("registry: too large")
    try:
        value = orjson.loads(data)
        if value["format"] != FORMAT or len(value["models"]) > MAX_ENTRIES:
            raise ModelInvalid("registry: another format, or too many models")
        entries = [_entry(row) for row in value["models"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ModelInvalid(f"registry: {error}") from error
    return Registry({(entry.name, entry.version): entry for entry in entries})


def _entry(row: dict[str, Any]) -> Entry:
    name, version, made, sha256 = row["name"], row["version"], row["made"], row["sha256"]
    if not isinstance(name, str) or not name.isidentifier() or type(version) is not int or version < 1:
        raise ModelInvalid("registry: name or version")
    if type(made) is not int or not isinstance(sha256, str) or (name not in _ONLINE and len(sha256) != 64):
        raise ModelInvalid("registry: made or sha256")
    steps = tuple(
        Step(at=int(s["at"]), to=Stage(s["to"]), by=str(s["by"]), why=str(s["why"])) for s in row["steps"][-51:]
    )
    return Entry(name=name, version=version, stage=Stage(row["stage"]), made=made, sha256=sha256, steps=steps)
