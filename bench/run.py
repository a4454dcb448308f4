"""The benchmark from start to end: which sections are measured in which order, with how much effort."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from bench.contender import Contender
from bench.errors import NotAvailable
from bench.footprint import cold_starts, memory_of
from bench.gateway import NAME, Gateways, is_built
from bench.machine import pinned
from bench.measure import Measure, Results
from bench.primitives import primitive_costs, store_costs
from bench.rounds import Plan, Say, latency_rounds, throughput_rounds
from bench.workers import workers_rounds
from bench.world import World

__all__ = ["ROWS", "SECTIONS", "Cores", "Effort", "run", "start_contenders"]

SECTIONS = ("plain", "web", "app", "session", "latency", "workers", "memory", "start", "block", "primitives")


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where: the gateways' core, and the rest for load generator, upstream and store."""

    gateway: tuple[int, ...]
    others: tuple[int, ...]

    @classmethod
    def split(cls, usable: Sequence[int]) -> Self:
        """The first core for gateways, the second for the others; a machine with one core shares it."""
        return cls((usable[0],), (usable[1 % len(usable)],))


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: rounds, loops of each primitive, cold starts, idle clients, policies in the
    store, and sizes of the block check. `patient`: for machines that others use meanwhile.
    """

    throughput: Plan
    latency: Plan
    loops: int
    starts: int
    clients: int
    policies: int
    table_sizes: tuple[int, ...]
    patient: bool = False

    def with_plan(self, *, rounds: int | None, seconds: float | None) -> Self:
        """The same with other rounds or seconds where given."""

        def changed(plan: Plan) -> Plan:
            return replace(plan, rounds=rounds or plan.rounds, seconds=seconds or plan.seconds)

        return replace(self, throughput=changed(self.throughput), latency=changed(self.latency))


ROWS = ("plain", "web", "app", "session")


def run(
    results: Results,
    notes: list[str],
    *,
    sections: Sequence[str],
    effort: Effort,
    cores: Cores,
    say: Say,
) -> None:
    """Measure `sections` into `results`; what could not be measured here is said in `notes`.

    Raises:
        BenchError: a peer did not start, or any answer was not as expected.
    """
    if set(sections) - {"block", "primitives"}:
        with World(gateway_cores=cores.gateway, other_cores=cores.others) as world:
            _under_load(results, world, sections=sections, effort=effort, say=say)
            notes.extend(world.missing)
    if "block" in sections:
        _block_check(results, effort.table_sizes, cores, say)
    if "primitives" in sections:
        _primitives(results, effort, cores, say)


def _under_load(results: Results, world: World, *, sections: Sequence[str], effort: Effort, say: Say) -> None:
    rows = [row for row in ROWS if row in sections] or ["plain"]
    started = rows if "memory" not in sections or "plain" in rows else ["plain", *rows]
    gateways = Gateways(world, policies=effort.policies, patient=effort.patient) if is_built() else None
    straight = start_contenders(world, gateways, started, say)
    contenders = [each for each in world.contenders if each.row in rows]
    if set(sections) & {*ROWS, "latency"}:
        for measure in throughput_rounds([straight, *contenders], effort.throughput, say):
            results.add(measure)
    if "latency" in sections:
        half = [(each, found.value / 2) for each in contenders if (found := results.get(each.key))]
        for measure in latency_rounds(half, straight, effort.latency, say):
            results.add(measure)
    if "memory" in sections:
        for contender in world.contenders:
            if contender.row != "plain" or contender.process is None:
                continue
            if effort.clients > contender.most_clients:
                world.missing.append(f"{contender.name} is not set up for {effort.clients} clients")
            else:
                say(f"memory  {contender.key} with {effort.clients} clients")
                for measure in memory_of(contender, contender.process, connections=effort.clients):
                    results.add(measure)
    if gateways is None:
        world.missing.append("haetae cannot be started: there is no haetae_edge command")
        return
    if "start" in sections:
        say("cold starts")
        results.add(cold_starts(NAME, gateways.cold_start, times=effort.starts))
    if "workers" in sections:
        for measure in workers_rounds(gateways, world, effort.throughput, say):
            results.add(measure)


def start_contenders(world: World, gateways: Gateways | None, rows: Sequence[str], say: Say) -> Contender:
    """Start every contender of `rows`; returns the upstream as one asked without a gateway."""
    say(f"starting {', '.join(rows)}")
    straight = world.start_upstream(gateways.service_answers() if gateways is not None else {})
    if "plain" in rows:
        world.start_plain_peers()
    if "web" in rows:
        world.start_jwt_peers()
    if gateways is not None:
        world.contenders.extend(gateways.start_row(row) for row in rows)
        if "web" in rows:
            world.contenders.append(gateways.start_row("web", events=False))
        if "session" in rows:
            try:
                world.contenders.append(gateways.start_session_proxy())
            except NotAvailable as missing:
                world.missing.append(str(missing))
    return straight


def _block_check(results: Results, sizes: Sequence[int], cores: Cores, say: Say) -> None:
    """Each size in a process of its own, as `bench.block_check` does."""
    for size in sizes:
        say(f"block check with {size} policies")
        with pinned(cores.gateway):
            done = subprocess.run(
                [sys.executable, "-m", "bench.block_check", str(size)], check=True, capture_output=True
            )
        found = json.loads(done.stdout)
        for what, unit in (("miss", "µs"), ("hit", "µs"), ("bytes", "bytes")):
            results.add(Measure(f"block/{size}/{what}", unit, (found[what],)))


def _primitives(results: Results, effort: Effort, cores: Cores, say: Say) -> None:
    """On the gateways' core, with nothing else running; the store is on the other."""
    say("primitives")
    with World(gateway_cores=cores.gateway, other_cores=cores.others) as world, pinned(cores.gateway):
        for measure in primitive_costs(loops=effort.loops):
            results.add(measure)
        for measure in store_costs(world.start_store(), loops=effort.loops):
            results.add(measure)
