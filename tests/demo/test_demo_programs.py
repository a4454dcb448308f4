"""The services as programs: they start, say where, end on SIGTERM, and refuse to start in one clear line."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "haetae_demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "service-token"
    path.write_text("a-service-token-of-tests\n")
    return path


@pytest.mark.parametrize("service", ["identity", "issuer", "bank", "provider", "dashboard"])
def test_service_says_where_it_is_and_ends_with_zero_on_sigterm(service: str, token_file: Path) -> None:
    clients = token_file.with_name("clients.json")
    clients.write_text('{"clients": []}')
    extra = {
        "identity": ["--service-token-file", str(token_file)],
        "issuer": ["--service-token-file", str(token_file), "--identity-url", "http://127.0.0.1:1"],
        "bank": ["--passport-jwks-url", "http://127.0.0.1:1/x", "--passport-issuer", "haetae"],
        "provider": ["--service-token-file", str(token_file), "--clients", str(clients)],
        "dashboard": ["--passport-jwks-url", "http://127.0.0.1:1/x", "--passport-issuer", "haetae"],
    }[service]
    with program(service, *extra) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"{service} ready at http://127.0.0.1:")
        with urllib.request.urlopen(line.split()[-1] + "/readyz", timeout=10) as answer:  # noqa: S310
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Traceback" not in errors


def test_taken_port_is_one_clear_line(token_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with program("identity", "--service-token-file", str(token_file), "--port", port) as process:
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors == f"identity cannot start: 127.0.0.1:{port}: Address already in use\n"


def test_missing_secret_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    with program("identity", "--service-token-file", str(path)) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors == f"identity cannot start: {path}: No such file or directory\n"


def test_provider_listens_on_loopback_only_and_says_what_it_is_for(token_file: Path) -> None:
    clients = token_file.with_name("clients.json")
    clients.write_text('{"clients": []}')
    files = ["--service-token-file", str(token_file), "--clients", str(clients)]
    with program("provider", *files, "--host", "0.0.0.0") as process:  # noqa: S104 - to be refused
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "for development" in errors
    with program("provider", *files) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("DEVELOPMENT ONLY")
