"""Browsing features: how one actor uses one API, beside how all of its users do.

Rules kept: windows end with the actor's next event, never by a timer; an actor under suspicion does not shape the
population it is compared with. Not here: limits.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from haetae_fds.counters import Decay, Recent, note, unusual
from haetae_fds.facts import OBJECT, VOLUME, Facts
from haetae_fds.state import DAY, HOUR, MIN2, MIN10, MINUTE, ApiState, Browse, Pair

if TYPE_CHECKING:
    from haetae_fds.features import Features

BUSY_FLOOR: Final = 20
_LOOK_OBJECTS: Final = 7
_LOOK_DENIED: Final = 2
_ENOUGH_ASKED: Final = 500
_LOOK_RUN: Final = 5
_RING: Final = 24
_USUAL_FIRST: Final = 15.0
_LOOK_MINUTE: Final = 100
_LOOK_ITEMS: Final = 500


def update_browse(features: Features, f: Facts) -> None:
    """Count one request of an actor on an API."""
    api, event, now = f.api, f.event, f.now
    if api is None or f.api_key is None:
        return
    pair = f.pair = features.pairs.touch(f"{f.actor}|{f.api_key}", now)
    if now - pair.minute_at >= MINUTE:
        if pair.minute and pair.hot <= now:
            api.minutes.add(pair.minute)
            pair.usual = _usual(pair.usual, pair.minute)
        pair.minute_at, pair.minute = now, 0
    pair.minute += 1
    if pair.minute >= _LOOK_MINUTE:
        f.triggers |= VOLUME
    if event.obj is None and not event.n_items:
        return
    alone = event.obj is not None and features.asked.add(f"{f.api_key} {event.obj}", now)
    _browse(f, pair, api, alone)
    if f.user is None and f.device is None and event.san is None and f.net is not None:
        f.net_pair = features.pairs.touch(f"n:{f.net_key}|{f.api_key}", now)
        _browse(f, f.net_pair, api, alone)


def _usual(usual: float, minute: int) -> float:
    """Follow the 99th percentile of an actor's minutes: a hundred smaller ones weigh as much as one greater one.

    One minute moves it by a fifth at most, so that nobody teaches it a flood by one great minute before.
    """
    return min(float(minute), max(_USUAL_FIRST, 1.2 * usual)) if minute > usual else 0.998 * usual


def _browse(f: Facts, pair: Pair, api: ApiState, alone: bool) -> None:
    event, now = f.event, f.now
    browse = pair.browse
    if browse is None:
        browse = pair.browse = Browse(now)
    else:
        _roll(browse, pair, api, now)
    browse.requests += 1
    if event.obj is not None:
        _object(f, browse, pair, api, alone)
    if event.n_items:
        browse.items += event.n_items
        if browse.items >= _LOOK_ITEMS:
            f.triggers |= OBJECT
    gap = now - pair.last_at
    if 0 < gap < MIN10 and pair.last_at:
        browse.gaps += 1
        weight = max(0.1, 1 / browse.gaps)
        browse.gap_mean += (gap - browse.gap_mean) * weight
        browse.gap_square += (gap * gap - browse.gap_square) * weight
    pair.last_at = max(now, pair.last_at)


def _object(f: Facts, browse: Browse, pair: Pair, api: ApiState, alone: bool) -> None:
    event, now = f.event, f.now
    new = browse.objects.add(event.obj or "", now)
    if new:
        browse.hour += 1
        browse.day += 1
        browse.alone += alone
        if alone and pair is f.pair and event.san is None:
            f.swarm = _swarm(api, now)
        if pair.hot <= now and pair is f.pair:
            api.asked += 1
            api.asked_alone += alone
            if api.asked >= 10_000:
                api.asked, api.asked_alone = api.asked // 2, api.asked_alone // 2
        note(browse.sample, event.id)
        count = browse.objects.count(now)
        browse.peak = max(browse.peak, count)
        if count >= _LOOK_OBJECTS or browse.hour >= BUSY_FLOOR:
            f.triggers |= OBJECT
    if new and (event.status == 403 or event.status == 404):
        if browse.denied is None:
            browse.denied = Decay()
        denied = browse.denied.add(now, MIN10)
        if denied >= _LOOK_DENIED:
            f.triggers |= OBJECT
        if denied >= 10 and f.user is not None and f.user.first_good and now - f.user.first_good > HOUR:
            if api.deny_users is None:
                api.deny_users = Recent(MIN10)
            api.deny_users.add(f.actor, now)
    if event.obj_n is not None:
        _step(f, browse, pair, api, event.obj_n)


def _step(f: Facts, browse: Browse, pair: Pair, api: ApiState, number: int) -> None:
    """Follow the steps between object ids in the order of the requests' own times, whenever they are heard of."""
    times, numbers, ts = browse.times, browse.numbers, f.event.ts
    if times is None or numbers is None:
        browse.times, browse.numbers = array("q", (ts,)), array("q", (number,))
        return
    place = bisect_right(times, ts)
    late = place < len(times)
    times.insert(place, ts)
    numbers.insert(place, number)
    if late:
        step, run = _longest_run(numbers)
        if run > browse.run:
            browse.step, browse.run = step, run
    else:
        step = number - numbers[-2]
        if step and step == browse.step:
            browse.run += 1
        elif step:
            if browse.run >= 3 and pair.hot <= f.now:
                api.runs.add(browse.run)
            browse.step, browse.run = step, 1
    if len(times) > _RING:
        del times[0], numbers[0]
    if browse.run >= _LOOK_RUN:
        f.triggers |= OBJECT


def _longest_run(numbers: array[int]) -> tuple[int, int]:
    """Return the step and length of the longest run of equal steps."""
    best, step, run = (0, 0), 0, 0
    for before, after in pairwise(numbers):
        if after == before:
            continue
        run = run + 1 if after - before == step else 1
        step = after - before
        if run > best[1]:
            best = (step, run)
    return best


def _roll(browse: Browse, pair: Pair, api: ApiState, now: int) -> None:
    if now - browse.window_at >= MIN10:
        if pair.hot <= now:
            if browse.peak:
                api.objects.add(browse.peak)
            if browse.items:
                api.items.add(browse.items)
        browse.window_at, browse.peak, browse.items = now, 0, 0
    if now - browse.hour_at >= HOUR:
        if pair.hot <= now and browse.hour:
            api.objects_hour.add(browse.hour)
        browse.hour_at, browse.hour, browse.requests, browse.alone = now, 0, 0, 0
    if now - browse.day_at >= DAY:
        if pair.hot <= now and browse.day:
            api.objects_day.add(browse.day)
        browse.day_at, browse.day = now, 0


def _swarm(api: ApiState, now: int) -> bool:
    """Count what nobody asked for before; say whether these two minutes have more of it than the API is used to."""
    if now - api.lone_at >= MIN2:
        if api.lone_at:
            mean = api.lone_mean
            weight = 0.2 if mean is None or api.lone_now <= unusual(mean) else 0.02
            api.lone_mean = float(api.lone_now) if mean is None else mean + weight * (api.lone_now - mean)
        api.lone_at, api.lone_now = now, 0
    api.lone_now += 1
    return api.lone_mean is not None and api.lone_now > unusual(api.lone_mean)


def has_paths(api: ApiState) -> bool:
    """Say whether people mostly ask for the same things on this API, rather than each for their own."""
    return api.asked >= _ENOUGH_ASKED and 2 * api.asked_alone <= api.asked


def off_the_path(browse: Browse, api: ApiState) -> bool:
    """Say whether an actor asks for what nobody else asked for, on an API where that is not what everybody does."""
    return has_paths(api) and browse.alone >= 10 and browse.alone >= 0.7 * browse.hour


def busy_group(api: ApiState, group: str, member: str, now: int) -> int:
    """Note a busy member of a group and return how many the last hour had."""
    members = api.busy.pop(group, None)
    if members is None:
        members = Recent(HOUR)
        if len(api.busy) >= 256:
            del api.busy[next(iter(api.busy))]
    api.busy[group] = members
    members.add(member, now)
    return members.count(now)


def size_of_group(api: ApiState, group: str, now: int) -> int:
    """Return how many members the last hour had."""
    members = api.busy.get(group)
    return 0 if members is None else members.count(now)
