"""Two workers against one.

What a second worker brings can only be seen where it has a core of its own: on four or more cores, two for
the gateway and the rest for the load. On fewer, gateway and load share the cores, and requests per second say
little; what is compared then is requests per second of CPU time that the gateway used. If workers stood in
each other's way (a lock, a shared cache line, one accept queue), two would need more of it for the same work.
"""

from collections import defaultdict
from collections.abc import Iterator

from bench.contender import Contender
from bench.gateway import Gateways
from bench.loader import run_closed
from bench.machine import every_core
from bench.measure import Measure
from bench.rounds import Plan, Say
from bench.world import World

__all__ = ["workers_rounds"]

COUNTS = (1, 2)
ENOUGH_CORES = 4


def workers_rounds(gateways: Gateways, world: World, plan: Plan, say: Say) -> Iterator[Measure]:
    """Requests per second, and per second of gateway CPU time, of one worker and of two.

    Raises:
        BenchError: a gateway did not start or gave a bad answer.
    """
    cores = every_core()
    own = len(cores) >= ENOUGH_CORES
    gateway_cores = cores[:2]
    others = cores[2:] if own else cores
    rates: dict[int, list[float]] = defaultdict(list)
    efficiencies: dict[int, list[float]] = defaultdict(list)
    with world.moved(gateway_cores=gateway_cores, other_cores=others):
        contenders = {count: gateways.start_row("plain", workers=count) for count in COUNTS}
        for number in range(plan.rounds):
            for count, contender in contenders.items():
                rate, efficiency = _run(contender, plan)
                rates[count].append(rate)
                efficiencies[count].append(efficiency)
                say(
                    f"round {number + 1}/{plan.rounds}  workers: {count}   {rate:>9,.0f} req/s"
                    f"   {efficiency:,.0f} per CPU second"
                )
    for count in COUNTS:
        if own:
            yield Measure(f"workers/{count}", "req/s", tuple(rates[count]))
        else:
            note = "on cores shared with the load: says little"
            yield Measure(f"workers/{count}, shared cores", "req/s", tuple(rates[count]), note=note)
        yield Measure(f"workers/{count} per CPU second", "req", tuple(efficiencies[count]))


def _run(contender: Contender, plan: Plan) -> tuple[float, float]:
    """Requests per second, and per second of the gateway's CPU time (warm-up included in both parts)."""
    supply = contender.supply.prepare(0)
    run_closed(contender.address, supply, connections=plan.connections, warmup=0, seconds=plan.warmup)
    before = contender.cpu_seconds()
    result = run_closed(contender.address, supply, connections=plan.connections, warmup=0, seconds=plan.seconds)
    return result.rate, result.answers / max(1e-9, contender.cpu_seconds() - before)
