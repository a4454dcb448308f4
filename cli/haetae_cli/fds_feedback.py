"""``haetae fds feedback``: say that a machine's policy was right, or a false alarm."""

import argparse
import asyncio
import getpass

from haetae_fds.io.feedback import Given, Word, give_feedback
from haetae_fds.io.modes import note

from haetae_cli.fds_accounts import switch_off
from haetae_cli.fds_store import now_ms, open_fds
from haetae_cli.terminal import Terminal, printable

TAKEOVER = "takeover"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("policy", metavar="POLICY", help="its identifier, or an ended one's")
    parser.add_argument("word", choices=[word.value for word in Word])
    parser.add_argument("--by", default=getpass.getuser(), metavar="NAME", help="who says so (default: you)")
    parser.add_argument(
        "--disable-account", action="store_true", help="with confirm: switch the user's account off, after a takeover"
    )
    parser.add_argument(
        "--same-cause", action="store_true", help="with false-alarm: say it of all in force of the same cause"
    )
    parser.add_argument("--identity-url", metavar="URL", help="the identity service (default: the local stack's)")
    parser.add_argument("--identity-token-file", metavar="FILE", help="what it is shown (default: the local stack's)")


def run(args: argparse.Namespace) -> int:
    """Give it, and say what came of it."""
    return asyncio.run(_run(args, Terminal.standard()))


async def _run(args: argparse.Namespace, terminal: Terminal) -> int:
    async with open_fds(args.redis, args.state) as store:
        word = Word(args.word)
        given = await give_feedback(
            store.policies, store.labels, policy_id=args.policy, word=word, by=args.by, now_ms=now_ms(),
            sweep=args.same_cause,
        )  # fmt: skip
        await note(
            store.ledger, by=args.by, action="fds-feedback", target=args.policy, details={"word": word.value},
            now_ms=now_ms(),
        )  # fmt: skip
        _tell(given, terminal)
        user = given.label.subject.user
        if word is Word.CONFIRM and args.disable_account:
            await switch_off(user, args)
            await note(
                store.ledger, by=args.by, action="account-disable", target=args.policy, details={"user": user},
                now_ms=now_ms(),
            )  # fmt: skip
            terminal.line(f"account {printable(str(user))} is switched off")
            return 0
    if word is Word.CONFIRM and given.label.detector.startswith(TAKEOVER) and user:
        terminal.line("to switch the account off, say it again with --disable-account")
    return 0


def _tell(given: Given, terminal: Terminal) -> None:
    label = given.label
    subject = ", ".join(f"{name} {value}" for name, value in label.subject.to_dict().items())
    terminal.line(f"{label.word.value}: {printable(label.detector)} on {printable(subject)}, says {label.by}")
    if label.word is Word.FALSE_ALARM:
        terminal.line("the policy was taken back" if given.revoked else "the policy had ended before")
        terminal.line(f"{printable(label.detector)} does not act on this subject for 24 hours")
    if given.same_cause:
        more = f"{len(given.same_cause)} more in force of the same cause"
        terminal.line(f"{more} were taken back:" if given.swept else f"{more}, taken back with --same-cause:")
        terminal.table([(policy.id, printable(policy.reason, most=100)) for policy in given.same_cause[:20]])
