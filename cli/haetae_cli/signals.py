"""Running a coroutine as a program that SIGINT and SIGTERM end in order."""

import asyncio
import signal
from collections.abc import Coroutine


def run_until_stopped(work: Coroutine[object, object, int]) -> int:
    """Run ``work``; the first SIGINT or SIGTERM cancels it, and its clean-up takes the time it needs."""

    async def main() -> int:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        stopped: list[int] = []

        def stop(number: int) -> None:
            if not stopped and task is not None:
                stopped.append(number)
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        try:
            return await work
        except asyncio.CancelledError:
            if not stopped:
                raise
            return 128 + stopped[0]

    return asyncio.run(main())
