"""Switching an account off at the identity service, after a person confirmed that it was taken over."""

import argparse
from pathlib import Path
from urllib.parse import quote

import aiohttp

from haetae_cli.errors import InputInvalid, RequestFailed
from haetae_cli.state import StateDirectory, default_state
from haetae_cli.terminal import printable

_TIMEOUT = 3.0
_MAX_TOKEN = 4096


async def switch_off(user: str | None, args: argparse.Namespace) -> None:
    """`POST /v1/accounts/{user}/disable` with the service token.

    Raises:
        InputInvalid: the decision names no user, or the token cannot be read.
        NotRunning: no service was named and no stack runs.
        RequestFailed: the service did not do it.
    """
    if user is None:
        raise InputInvalid("the decision is about no user, so there is no account to switch off")
    state = StateDirectory(args.state or default_state())
    url = (args.identity_url or state.running().identity).rstrip("/")
    token = _token(Path(args.identity_token_file or state.service_token_file))
    target = f"{url}/v1/accounts/{quote(user, safe='')}/disable"
    headers = {"authorization": f"Bearer {token}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT), trust_env=False) as session,
            session.post(target, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status >= 300:
                raise RequestFailed(f"the identity service answered {answer.status} for {printable(user, most=80)}")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise RequestFailed(f"the identity service does not answer ({type(error).__name__})") from error
    except ValueError as error:
        raise InputInvalid(f"--identity-url: {error}") from error


def _token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_TOKEN).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputInvalid(f"cannot read the service token in {path}") from error
