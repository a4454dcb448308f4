"""Changed TLS files: a reload takes them, or leaves everything as it is."""

import asyncio
import signal
import ssl
from pathlib import Path

import pytest

from tests.edge.certificates.authority import Authority, Leaf, client_context, uri
from tests.edge.certificates.front import server_leaf
from tests.simulator.client import BrokenOff, Client
from tests.simulator.processes import Configuration, GatewayProcesses, gateway_processes
from tests.simulator.upstream import recording_upstream

_TLS = """\
tls:
  certificate: tls/server.pem
  key: tls/server.key
  client-ca: tls/ca.pem
  client-certificates: required
client-certificates:
  source: tls
"""
_FILTERS = """\
  filters:
  - name: MtlsIdentity
    args:
      callers:
      - san: spiffe://td/*
"""


async def status(gateway: GatewayProcesses, trusted: bytes, leaf: Leaf, folder: Path) -> int | None:
    """Of one request with this certificate; None when TLS refused it."""
    context = client_context(trusted, leaf, folder)
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", gateway.port, ssl=context, server_hostname="localhost"
        )
    except (ssl.SSLError, ConnectionError):
        return None
    try:
        return (await Client(reader, writer).ask(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")).status
    except (BrokenOff, ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
        return None
    finally:
        writer.transport.abort()


@pytest.mark.timeout(90)
async def test_reload_takes_a_new_authority_and_forgets_the_old_and_a_broken_file_changes_nothing(
    tmp_path: Path,
) -> None:
    old, new, server_ca = Authority("old"), Authority("new"), Authority("server CA")
    mine, theirs = old.issue(uri("spiffe://td/a")), new.issue(uri("spiffe://td/b"))
    async with recording_upstream() as upstream:
        configuration = Configuration(tmp_path / "gateway", upstream=upstream.port)
        configuration.write(_TLS)
        routes = configuration.folder / "routes" / "all.yaml"
        routes.write_text(routes.read_text() + _FILTERS)
        tls = configuration.folder / "tls"
        tls.mkdir()
        server_leaf(server_ca).save(tls, "server")
        old.save(tls)
        async with gateway_processes(configuration, workers=1) as gateway:

            async def ask(leaf: Leaf) -> int | None:
                return await status(gateway, server_ca.pem, leaf, tmp_path)

            assert (await ask(mine), await ask(theirs)) == (200, None)
            (tls / "server.key").rename(tls / "server.kept")
            gateway.signal(signal.SIGHUP)
            await gateway.until_logged(b"the old one goes on")
            assert (await ask(mine), await ask(theirs)) == (200, None)
            (tls / "server.kept").rename(tls / "server.key")
            new.save(tls)
            gateway.signal(signal.SIGHUP)
            async with asyncio.timeout(30):
                while await ask(theirs) != 200 or await ask(mine) is not None:  # noqa: ASYNC110 - the answers tell
                    await asyncio.sleep(0.05)
            assert await ask(mine) is None
