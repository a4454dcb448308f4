"""Streams end with their session though nobody says so: at its absolute or idle end, after a silent log-out."""

from __future__ import annotations

from collections.abc import Iterable

from haetae_edge.io.session_watch import SessionWatch
from haetae_edge.services import StoreUnavailable


class World:
    """Streams of two sessions, a store that knows which live, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.open = {"a", "b"}
        self.living = {"a", "b"}
        self.asked: list[set[str]] = []
        self.down = False
        self.watch = SessionWatch(self.alive, clock=lambda: self.now)
        self.watch.attach(self)

    async def alive(self, names: Iterable[str]) -> frozenset[str]:
        self.asked.append(set(names))
        if self.down:
            raise StoreUnavailable
        return frozenset(self.living) & frozenset(self.asked[-1])

    def sessions(self) -> frozenset[str]:
        return frozenset(self.open)

    def end_sessions(self, sessions: frozenset[str]) -> int:
        before = len(self.open)
        self.open -= sessions
        return before - len(self.open)

    def used(self, name: str, *, idle: float = 600, absolute: float = 3600) -> None:
        self.watch.note(name, idle_end=self.now + idle, absolute_end=self.now + absolute)


async def test_session_that_ended_while_its_stream_was_let_in_is_found_at_once() -> None:
    world = World()
    world.used("a")
    world.used("b")
    world.living.remove("a")
    await world.watch.look()
    assert world.open == {"b"}


async def test_absolute_end_needs_nobody_to_ask() -> None:
    world = World()
    world.used("a", absolute=5)
    world.used("b", absolute=50)
    await world.watch.look()
    world.down = True
    world.now += 5
    await world.watch.look()
    assert world.open == {"b"}


async def test_idle_end_is_asked_about_at_its_second_and_again_while_another_worker_extends_it() -> None:
    world = World()
    world.open = {"a"}
    world.used("a", idle=10)
    await world.watch.look()
    world.now += 9
    await world.watch.look()
    assert len(world.asked) == 1
    world.now += 1
    await world.watch.look()
    assert len(world.asked) == 2
    world.now += 1
    world.living.clear()
    await world.watch.look()
    assert world.open == set()


async def test_store_that_does_not_answer_ends_nothing_until_a_minute_past_the_idle_end() -> None:
    world = World()
    world.open = {"a"}
    world.used("a", idle=10)
    world.down = True
    for second in range(1000, 1070):
        world.now = float(second)
        await world.watch.look()
        assert world.open == {"a"}
    world.now = 1071.0
    await world.watch.look()
    assert world.open == set()


async def test_living_sessions_are_asked_about_now_and_then_in_one_question() -> None:
    world = World()
    world.used("a")
    world.used("b")
    for _ in range(120):
        await world.watch.look()
        world.now += 0.25
    assert world.asked == [{"a", "b"}, {"a", "b"}]
    assert world.open == {"a", "b"}


async def test_what_is_told_of_an_end_closes_its_streams_and_no_others() -> None:
    world = World()
    world.watch.ended(frozenset({"a", "zz"}))
    assert world.open == {"b"}


async def test_nothing_is_remembered_of_sessions_that_hold_nothing_open() -> None:
    world = World()
    for number in range(1000):
        world.used(f"s-{number}")
    await world.watch.look()
    assert set(world.watch._ends) <= world.open
