"""What the ``haetae`` command fails with on purpose.

Every message is one sentence a user can act on: what is wrong and what to do next. ``main`` prints it without
a traceback and exits 1. Anything else is a defect and keeps its traceback.
"""

from typing import ClassVar


class CliError(Exception):
    """Base; ``code`` is stable for scripts that read ``--json`` output."""

    code: ClassVar[str] = "failed"


class StateInvalid(CliError):
    """The state directory cannot be used: not writable, in use by another stack, or damaged."""

    code = "state-invalid"


class CannotStart(CliError):
    """A part of the stack does not start: its port is taken, it died, or it does not become ready."""

    code = "cannot-start"


class StoreUnusable(CliError):
    """No usable Valkey or Redis: missing, too old, or not answering."""

    code = "store-unusable"


class KeysUnusable(CliError):
    """Key files are missing, damaged or open to others, or a rotation is not due."""

    code = "keys-unusable"


class NotRunning(CliError):
    """The command needs a running stack and there is none."""

    code = "not-running"


class InputInvalid(CliError):
    """An argument or a file given by the user does not read."""

    code = "input-invalid"


class RequestFailed(CliError):
    """A request could not be sent, or its answer cannot be trusted."""

    code = "request-failed"


class BlockRefused(CliError):
    """A block policy breaks a rule, is not there, or the store does not answer."""

    code = "block-refused"
