"""The policy service as a process of its own, for tests that kill it or want the real server."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from haetae_cli.policy_service import policy_api_words
from haetae_cli.state import StateDirectory

from tests.policy.conftest import Server


@contextmanager
def service(server: Server, state: StateDirectory, *words: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    usual = policy_api_words(state, listen=f"127.0.0.1:{port}", issuer=None, jwks_url=None)
    command = [
        sys.executable,
        "-m",
        "haetae_cli.main",
        "policy-api",
        *usual,
        *words,
        "--redis",
        f"unix://{server.socket}",
    ]
    with (state.logs / "api.log").open("ab") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert process.poll() is None, (state.logs / "api.log").read_text()
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                continue
        yield url, process
    finally:
        process.kill()
        process.wait()
