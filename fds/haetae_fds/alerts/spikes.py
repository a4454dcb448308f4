"""Decides which minutes are worth waking somebody for: errors that rise, errors that stop with the traffic, silence.

A spike needs to be far from normal (see `baseline`), material (at least five errors more than expected and one
hundredth of the requests) and to last: two of three minutes, or one that is enormous. An episode begins once and ends
after three calm minutes, so one incident is one message and its end. Routes with few requests are judged together, as
one. Common causes are grouped: routes of one gateway that rise in the same minute are one alert with the routes that
contribute most.

Pure: minutes in, alerts out. Not here: counting (`windows`), sending (`io/alerts`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from haetae_fds.alerts.baseline import ABNORMAL, Baseline

ENORMOUS: Final = 8.0
CALM: Final = 2.0
CALM_MIN: Final = 3
EXTRA_ERRORS: Final = 5.0
EXTRA_SHARE: Final = 0.01
FEW_REQUESTS: Final = 20
#: A route that had this many requests a minute and has none for three minutes is silent.
SILENT_FROM: Final = 20.0
SILENT_MIN: Final = 3
#: Routes that rise within so many minutes of an episode's first one belong to it.
JOIN_MIN: Final = 2
MAX_ROUTES: Final = 5000
MAX_NAMED: Final = 5
SMALL: Final = "(routes with few requests)"
_VOLUME_STEP: Final = 0.05
#: So many times what it was, an episode ends because people got used to it.
_STAYS: Final = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One minute of one route. `contributors` say who had the errors: `"ver 7.2" → 41`."""

    minute: int
    gateway: str
    route: str
    requests: int
    errors: Mapping[str, int]
    contributors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """One route's part of an alert. `score` is 0.5 at the limit and nears 1."""

    route: str
    requests: int
    errors: int
    expected: float
    z: float

    @property
    def score(self) -> float:
        """The distance on the scale that all detectors share."""
        return max(0.0, self.z / (self.z + ABNORMAL)) if self.z > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """For people. `kind` is `spike`, `silence`, `end` or `incident`; `episode` is the same from the first message to
    the last.

    `text` says what an incident is, and of an end that errors have become usual; the others speak by their numbers.
    """

    minute: int
    kind: str
    gateway: str
    errors: str
    episode: str
    rises: tuple[Rise, ...] = ()
    contributors: tuple[tuple[str, int], ...] = ()
    text: str = ""


@dataclass(slots=True)
class _Watched:
    baseline: Baseline = field(default_factory=Baseline)
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=3))
    calm: int = 0
    episode: str | None = None
    before: float = 0.0


@dataclass(slots=True)
class _Volume:
    mean: float = 0.0
    quiet: int = 0
    silent: bool = False
    last: int = -1


class SpikeDetector:
    """Judges minute by minute. Call `minute` once for each, with all its windows."""

    def __init__(self) -> None:
        self._watched: dict[tuple[str, str, str], _Watched] = {}
        self._volumes: dict[tuple[str, str], _Volume] = {}
        self._begun: dict[tuple[str, str], tuple[int, str]] = {}
        self.refused = 0

    def minute(self, number: int, windows: Iterable[Window]) -> list[Alert]:
        """The alerts of one minute (minutes since the epoch). A route that is missing had no requests."""
        held = [window for window in windows if self._may_watch(window)]
        alerts = self._silence(number, held)
        rises: dict[tuple[str, str], list[tuple[Rise, Window]]] = {}
        for window in _small_together(held):
            for kind, errors in window.errors.items():
                found, ended = self._judge(window, kind, errors)
                if found is not None:
                    rises.setdefault((window.gateway, kind), []).append((found, window))
                if ended is not None:
                    alerts.append(ended)
        for (gateway, kind), group in rises.items():
            began, _ = self._begun[gateway, kind]
            if began == number:
                alerts.append(self._alert(number, gateway, kind, group))
        return alerts

    def _may_watch(self, window: Window) -> bool:
        key = (window.gateway, window.route)
        if key in self._volumes:
            return True
        if len(self._volumes) < MAX_ROUTES:
            self._volumes[key] = _Volume()
            return True
        self.refused += 1
        return False

    def _judge(self, window: Window, kind: str, errors: int) -> tuple[Rise | None, Alert | None]:
        """A rise that begins now, and the end of an episode."""
        watched = self._watched.setdefault((window.gateway, window.route, kind), _Watched())
        baseline = watched.baseline
        expected, z = baseline.expected(window.requests), baseline.z(window.requests, errors)
        material = _material(window, errors, expected)
        watched.recent.append(baseline.warm and z >= ABNORMAL and material)
        fires = baseline.warm and ((z >= ENORMOUS and material) or sum(watched.recent) >= 2)
        before = baseline.ratio
        baseline.learn(window.requests, errors, z)
        if watched.episode is None:
            if not fires:
                return None, None
            watched.episode, watched.calm, watched.before = self._episode(window, kind), 0, before
            return (
                Rise(route=window.route, requests=window.requests, errors=errors, expected=round(expected, 2), z=z),
                None,
            )
        watched.calm = watched.calm + 1 if z < CALM else 0
        if watched.calm < CALM_MIN:
            return None, None
        ended, watched.episode = watched.episode, None
        watched.recent.clear()
        others = any(other.episode == ended for other in self._watched.values())
        return None, None if others else _ended(window, kind, errors, ended, watched)

    def _episode(self, window: Window, kind: str) -> str:
        """The episode this rise belongs to: one that has just begun at the gateway, or a new one."""
        began, episode = self._begun.get((window.gateway, kind), (-JOIN_MIN - 1, ""))
        if window.minute - began <= JOIN_MIN and any(other.episode == episode for other in self._watched.values()):
            return episode
        if window.minute == began:
            return episode
        episode = f"{window.gateway}/{kind}/{window.minute}"
        self._begun[window.gateway, kind] = (window.minute, episode)
        return episode

    def _alert(self, number: int, gateway: str, kind: str, group: list[tuple[Rise, Window]]) -> Alert:
        group.sort(key=lambda pair: (pair[0].expected - pair[0].errors, pair[0].route))
        counts: dict[str, int] = {}
        for _, window in group:
            for name, count in window.contributors.items():
                counts[name] = counts.get(name, 0) + count
        top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_NAMED]
        return Alert(
            minute=number,
            kind="spike",
            gateway=gateway,
            errors=kind,
            episode=f"{gateway}/{kind}/{number}",
            rises=tuple(rise for rise, _ in group[:MAX_NAMED]),
            contributors=tuple(top),
        )

    def _silence(self, number: int, windows: list[Window]) -> list[Alert]:
        alerts = []
        for window in windows:
            volume = self._volumes[window.gateway, window.route]
            volume.last = number
            if volume.silent and window.requests:
                volume.silent = False
                alerts.append(_volume_alert("end", number, window.gateway, window.route))
            volume.quiet = 0
            volume.mean += _VOLUME_STEP * (window.requests - volume.mean)
        for (gateway, route), volume in self._volumes.items():
            if volume.last == number:
                continue
            volume.quiet += 1
            if volume.quiet >= SILENT_MIN and not volume.silent and volume.mean >= SILENT_FROM:
                volume.silent = True
                alerts.append(_volume_alert("silence", number, gateway, route))
            if not volume.silent:
                volume.mean *= 1.0 - _VOLUME_STEP
        return alerts


def _material(window: Window, errors: int, expected: float) -> bool:
    extra = errors - expected
    return extra >= EXTRA_ERRORS and extra >= EXTRA_SHARE * window.requests


def _ended(window: Window, kind: str, errors: int, episode: str, watched: _Watched) -> Alert:
    """The end of an episode, which says so when errors have not gone but become what is usual."""
    text, before = "", window.requests * watched.before
    if _material(window, errors, before) and errors >= _STAYS * before:
        text = (
            f"{kind} at {window.gateway} have not gone: {window.route} has {errors} of {window.requests}, which is its "
            f"usual by now; before {episode} it was {before:.1f}"
        )
    return Alert(minute=window.minute, kind="end", gateway=window.gateway, errors=kind, episode=episode, text=text)


def _volume_alert(kind: str, number: int, gateway: str, route: str) -> Alert:
    rise = Rise(route=route, requests=0, errors=0, expected=0.0, z=0.0)
    return Alert(
        minute=number, kind=kind, gateway=gateway, errors="silence", episode=f"{gateway}/silence/{route}", rises=(rise,)
    )


def _small_together(windows: list[Window]) -> list[Window]:
    """Routes with few requests say nothing alone; those of one gateway are judged as one."""
    large = [window for window in windows if window.requests >= FEW_REQUESTS]
    small: dict[str, list[Window]] = {}
    for window in windows:
        if window.requests < FEW_REQUESTS:
            small.setdefault(window.gateway, []).append(window)
    for gateway, group in small.items():
        errors: dict[str, int] = {}
        contributors: dict[str, int] = {}
        for window in group:
            for kind, count in window.errors.items():
                errors[kind] = errors.get(kind, 0) + count
                if count:
                    contributors[f"route {window.route}"] = contributors.get(f"route {window.route}", 0) + count
        total = sum(window.requests for window in group)
        large.append(
            Window(
                minute=group[0].minute, gateway=gateway, route=SMALL, requests=total, errors=errors,
                contributors=contributors,
            )
        )  # fmt: skip
    return large
