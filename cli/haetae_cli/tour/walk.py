"""Walking through the steps of a tour, whatever its place: run, judge, go on or end."""

from collections.abc import AsyncIterator, Iterable

import aiohttp
from haetae_crypto.errors import CryptoError
from haetae_demo.errors import DemoError

from haetae_cli.errors import CliError
from haetae_cli.tour.place import Outcome, Step, Where


async def walk_through(steps: Iterable[Step[Where]], place: Where) -> AsyncIterator[tuple[Step[Where], Outcome]]:
    """Run the steps in order; ends early when an essential one fails."""
    for step in steps:
        outcome = await _run(step, place)
        yield step, outcome
        if step.essential and not outcome.passed:
            return


async def _run(step: Step[Where], place: Where) -> Outcome:
    try:
        return await step.run(place)
    except (DemoError, CryptoError, CliError) as error:
        return Outcome(passed=False, note=str(error))
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
        # An answer that is not what a step reads: the step failed, and says how.
        return Outcome(passed=False, note=f"{type(error).__name__}: {error}")
