"""Virtual time: runs many scripts side by side, in the order in which their requests would arrive.

Reads no clock; the same scripts and seed give the same run. People who are challenged prove themselves, mostly, and
try again; programs do not.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Final

from haetae_demo.attack.calls import Answer, Call, Moment, Pause, Script
from haetae_demo.attack.chance import chance
from haetae_demo.attack.town import Defence, Town

_CHALLENGE_MS: Final = 9_000
_THINK_MS: Final = 5


def run(
    town: Town, scripts: Iterable[tuple[int, Script]], defence: Defence, *, until_ms: int, name: str
) -> Iterator[Moment]:
    """Run scripts, each from its own starting time, until `until_ms`; yields every event with the truth about it."""
    rng = chance("clockwork", town.shape.name, town.shape.seed, name)
    queue: list[tuple[int, int, Script, Call | None]] = []
    for order, (start_ms, script) in enumerate(scripts):
        queue.append((start_ms, order, script, None))
    order = len(queue)
    heapq.heapify(queue)
    while queue:
        now_ms, _, script, call = heapq.heappop(queue)
        if now_ms >= until_ms:
            break
        answer = Answer(status=0, now_ms=now_ms)
        wait_ms = 0
        if call is not None:
            answer, moment = town.perform(call, now_ms, defence)
            yield moment
            wait_ms = _THINK_MS + int(moment.event["lat"])
            if answer.challenged and call.truth.attack is None and rng.random() < town.shape.challenge_pass:
                town.challenge_passed(call, now_ms + _CHALLENGE_MS)
                order += 1
                heapq.heappush(queue, (now_ms + _CHALLENGE_MS, order, script, call))
                continue
        order += 1
        following = _advance(script, answer, started=call is not None)
        if isinstance(following, Call):
            heapq.heappush(queue, (now_ms + wait_ms, order, script, following))
        elif following is not None:
            pause_ms = max(1, int(following.seconds * 1000))
            heapq.heappush(queue, (now_ms + wait_ms + pause_ms, order, script, None))


def _advance(script: Script, answer: Answer, *, started: bool) -> Call | Pause | None:
    """The script's next step. One that has not begun, or ends a pause, is merely resumed."""
    try:
        return script.send(answer) if started else next(script)
    except StopIteration:
        return None
