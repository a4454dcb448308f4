"""Haetae under test: the configuration of each row, the services it asks, and how it is started.

One gateway process per row, each with one route that matches everything. The services are static answers of
the upstream, the store is a Valkey of our own.
"""

import importlib.util
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from haetae_crypto.gateway_keys import GatewayPublicKey, new_gateway_ring
from haetae_crypto.io.key_files import KeyDirectory
from haetae_crypto.signing_keys import new_signing_ring

from bench.contender import Contender, Repeated, get_request
from bench.devices import SignedRequests, context_answer, make_devices, prepare, wire_bytes
from bench.errors import BadAnswer
from bench.loader import Address, exchange_once
from bench.peers import BODY
from bench.policies import BLOCKED_USER, fill_store
from bench.processes import Process, free_port
from bench.sessions import ROW as SESSION
from bench.sessions import TICKET, Sessions, session_route
from bench.tokens import AUDIENCE, ISSUER, SCOPE, Caller
from bench.world import HOST, PLAIN_PATH, World, check_answer, check_refusal, echo

__all__ = ["NAME", "Gateways", "is_built"]

NAME = "haetae"
TRANSFER_URL = f"http://{HOST}/api/v1/transfers?dry=0"
READY = get_request("/readyz", "localhost")
APP_GUESS = 5000.0

PATIENCE = """
  timeout: 1s
"""
"""Under a profiler, or on a machine that others use, the product's 50 ms deadline of the store would end
the run.
"""

FILTERS = {
    "plain": "",
    "web": f"""
    filters:
      - Block
      - name: VerifyJwt
        args:
          scopes: ["{SCOPE}"]
      - Passport=bench-service
""",
    "app": f"""
    filters:
      - Block
      - AppChannel=64KB
      - name: VerifyJwt
        args:
          scopes: ["{SCOPE}"]
      - Passport=bench-service
""",
}


def is_built() -> bool:
    """Whether `python -m haetae_edge` exists."""
    return importlib.util.find_spec("haetae_edge.__main__") is not None


PROFILES = {"app": "app", SESSION: "internal"}


def gateway_yaml(row: str, *, keys: Path, services: Address, store: str, patient: bool, events: bool = True) -> str:
    """`gateway.yaml` of a row."""
    text = f"name: bench-{row}\nprofile: {PROFILES.get(row, 'plain')}\n"
    if row == "plain":
        return text
    base = f"http://{services[0]}:{services[1]}"
    return f"""{text}keys-directory: {keys}
redis:
  uri: {store}{PATIENCE if patient else ""}
identity:
  uri: {base}
issuers:
  - issuer: {ISSUER}
    audience: {AUDIENCE}
    jwks-uri: {base}/.well-known/jwks.json
    algorithms: [ES256]
passport:
  issuer: https://gateway.bench.example
events:
  enabled: {str(events).lower()}
"""


def routes_yaml(filters: str, upstream: Address) -> str:
    """The one route of a row."""
    return f"""routes:
  - id: bench
    uri: http://{upstream[0]}:{upstream[1]}
    predicates:
      - Path=/**{filters}
"""


class Gateways:
    """Starts gateways in a world; keys, devices and store are made when a row first needs them.

    `policies` are put into the store; `patient` lengthens the deadline of the store to a second; `durable`
    gives it an append-only file. `ready_s`: how long the gateway started last took.
    """

    def __init__(self, world: World, *, policies: int, patient: bool = False, durable: bool = False) -> None:
        self._world = world
        self._policies = policies
        self._patient = patient
        self._durable = durable
        self._devices = make_devices(world.issuer, now=int(time.time()))
        self._store = ""
        self._gateway_key: GatewayPublicKey | None = None
        self._sessions: Sessions | None = None
        self.ready_s = 0.0

    @property
    def store(self) -> str:
        """The store's URL, once a row that needs one has been started."""
        return self._store

    def service_answers(self) -> dict[str, str]:
        """What the upstream must answer as identity service, by path."""
        answers = {f"/v1/devices/{device.keyid}": device.record() for device in self._devices}
        return {**answers, "/v1/context": context_answer()}

    def start_row(
        self, row: str, *, launcher: Sequence[str] = ("-m",), workers: int = 1, events: bool = True
    ) -> Contender:
        """Start a gateway for a row, check that it does the row's work, and return it.

        Without `events` it sends none to fraud detection, as no peer does.

        Raises:
            NotStarted: it is not ready in time.
            BadAnswer: it lets pass what it must not, or does not pass on what it must.
        """
        if row == SESSION:
            self._prepare_sessions()
        address, process = self.start(row, launcher=launcher, workers=workers, events=events)
        match row:
            case "session":
                return self._session(address, process)
            case "app":
                return self._app(address, process)
            case "web":
                return self._web(address, process, NAME if events else f"{NAME}, no events")
            case _:
                request = get_request(PLAIN_PATH, HOST)
                contender = Contender(row, NAME, address, Repeated([request]), process)
                check_answer(contender, request)
                return contender

    def start(
        self,
        row: str,
        *,
        launcher: Sequence[str] = ("-m",),
        workers: int = 1,
        wait: bool = True,
        events: bool = True,
    ) -> tuple[Address, Process]:
        """Start a gateway for a row and wait until it says it is ready (or do not)."""
        directory = self._configure(row, events=events)
        listen, admin = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
        if row == SESSION and self._sessions is not None:
            listen = self._sessions.gateway
        arguments = ["--config", str(directory), "--workers", str(workers)]
        arguments += ["--listen", f"{listen[0]}:{listen[1]}", "--admin", f"{admin[0]}:{admin[1]}"]
        command = [sys.executable, *launcher, "haetae_edge", *arguments]
        process = self._world.start(f"haetae-{row}-{listen[1]}", command, gateway=True)
        if wait:
            self.ready_s = process.wait_ready(admin, READY)
        return listen, process

    def cold_start(self) -> tuple[Process, float]:
        """Start a gateway for the plain row; returns it and the seconds to its first good answer."""
        address, process = self.start("plain", wait=False)
        return process, process.wait_ready(address, get_request(PLAIN_PATH, HOST))

    def _configure(self, row: str, *, events: bool) -> Path:
        directory = self._world.directory / f"config-{row}{'' if events else '-no-events'}"
        if directory.exists():
            return directory
        keys = self._world.directory / "keys"
        if row != "plain":
            self._prepare_services(keys)
        (directory / "routes").mkdir(parents=True)
        text = gateway_yaml(
            row, keys=keys, services=self._world.upstream, store=self._store, patient=self._patient, events=events
        )
        filters = FILTERS.get(row, "")
        if self._sessions is not None and row == SESSION:
            settings, filters = session_route(self._sessions.gateway[1], self._sessions.issuer)
            text += settings
        (directory / "gateway.yaml").write_text(text)
        (directory / "routes" / "bench.yaml").write_text(routes_yaml(filters, self._world.upstream))
        return directory

    def _prepare_services(self, keys: Path) -> None:
        if self._gateway_key is not None:
            return
        now = int(time.time())
        files = KeyDirectory(keys)
        files.create()
        ring = new_gateway_ring(os.urandom(32), kid="app-bench", now=now)
        files.save_app_keys(ring)
        files.save_passport_keys(new_signing_ring(os.urandom(32), now=now))
        files.save_root_key(new_signing_ring(os.urandom(32), now=now))
        self._gateway_key = ring.active(now=now).key.public
        self._store = self._world.start_store(durable=self._durable)
        fill_store(self._store, self._policies)

    def start_session_proxy(self) -> Contender:
        """The public SSO proxy beside the session row, which must have been started. Raises NotAvailable."""
        if self._sessions is None:
            raise BadAnswer("the session row has not been started")
        return self._sessions.start_proxy()

    def _prepare_sessions(self) -> None:
        if self._sessions is None:
            self._prepare_services(self._world.directory / "keys")
            self._sessions = Sessions(self._world, self._store)
            self._sessions.start_provider()

    def _session(self, address: Address, process: Process) -> Contender:
        if self._sessions is None:
            raise BadAnswer("the session row was started without a provider")
        return self._sessions.contender(NAME, address, process, TICKET)

    def _web(self, address: Address, process: Process, name: str) -> Contender:
        requests = self._world.bearer_requests()
        contender = Contender("web", name, address, Repeated(requests), process)
        check_answer(contender, requests[0])
        check_refusal(contender, get_request(PLAIN_PATH, HOST), 401)
        check_refusal(contender, requests[0].replace(b"\r\n\r\n", b"A\r\n\r\n"), 401)
        blocked = self._world.issuer.token(Caller(BLOCKED_USER), now=int(time.time()), number=0)
        check_refusal(contender, get_request(PLAIN_PATH, HOST, Authorization=f"Bearer {blocked}"), 403)
        seen = echo(address, requests[0].replace(PLAIN_PATH.encode(), b"/echo"))
        if seen.get("passport", "").count(".") != 2:
            raise BadAnswer(f"{contender.key} sends no Passport to the upstream")
        return contender

    def _app(self, address: Address, process: Process) -> Contender:
        if self._gateway_key is None:
            raise BadAnswer("the app row was started without keys")
        cores = sorted({*self._world.gateway_cores, *self._world.other_cores})
        supply = SignedRequests(self._devices, self._gateway_key, TRANSFER_URL, cores=cores)
        self._world.keep(supply)
        contender = Contender("app", NAME, address, supply, process, APP_GUESS)
        device = self._devices[0]
        prepared = prepare(device.client(self._gateway_key), device, TRANSFER_URL, now=time.time())
        answer = exchange_once(address, wire_bytes(prepared))
        headers = [("content-encoding", (answer.header(b"content-encoding") or b"").decode())]
        if answer.status != 200:
            raise BadAnswer(f"{contender.key} refuses a good request: {answer.head!r} {answer.body[:300]!r}")
        opened = prepared.opener.open(answer.status, headers, answer.body)
        if opened.body != BODY or not opened.encrypted:
            raise BadAnswer(f"{contender.key} does not seal the upstream's answer")
        check_refusal(contender, wire_bytes(prepared), 401)
        check_refusal(contender, get_request(PLAIN_PATH, HOST), 401)
        return contender
