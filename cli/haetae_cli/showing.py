"""A tour on the terminal: one line a step for a check, or each step with what came of it for a demonstration."""

from collections.abc import Sequence

from haetae_cli.terminal import Terminal, printable
from haetae_cli.tour import Outcome, Step, walk_through
from haetae_cli.tour.place import Where

_SHOWN = 110


async def check_each(steps: Sequence[Step[Where]], place: Where, terminal: Terminal) -> bool:
    """Run the steps, one line each; True when every one came out as it must."""
    run = passed = 0
    async for step, outcome in walk_through(steps, place):
        run += 1
        passed += outcome.passed
        terminal.step(outcome.passed, step.title, printable(outcome.note))
    left_out = len(steps) - run
    terminal.line(f"{passed} of {len(steps)} steps passed" + (f", {left_out} not run" if left_out else ""))
    return passed == len(steps)


async def show_each(steps: Sequence[Step[Where]], place: Where, terminal: Terminal) -> bool:
    """Run the steps and show what came of each; True when every one came out as it must."""
    run = passed = 0
    async for step, outcome in walk_through(steps, place):
        run += 1
        passed += outcome.passed
        _show(terminal, step.title, outcome, number=run)
    terminal.line()
    terminal.line(f"{passed} of {len(steps)} steps came out as they must")
    return passed == len(steps)


def _show(terminal: Terminal, title: str, outcome: Outcome, *, number: int) -> None:
    mark = terminal.style("ok", "green") if outcome.passed else terminal.style("FAIL", "red")
    terminal.line()
    heading = terminal.style(f"{number:2}. {title}", "bold")
    terminal.line(f"{heading}  {mark}  {printable(outcome.note)}")
    rows = [(terminal.style(label, "dim"), printable(text, most=_SHOWN)) for label, text in outcome.details]
    terminal.table(rows, indent=4)
