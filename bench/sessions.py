"""The session row: staff with a browser session in Redis, through Haetae and through a public SSO proxy.

One OpenID provider (the demo's) signs the same people in at both; each then serves requests that carry a session
cookie. Both keep sessions in the same Valkey. oauth2-proxy is taken from the path, or
from `HAETAE_OAUTH2_PROXY`; `go build github.com/oauth2-proxy/oauth2-proxy/v7` makes it.
"""

import asyncio
import os
import secrets
import shutil
import sys
from pathlib import Path

import orjson
from haetae_cli.tour.browser import Browser
from haetae_cli.tour.staff import demo_password
from haetae_demo.io.localhost import local_session

from bench.contender import Contender, Repeated, get_request
from bench.errors import NotAvailable, NotStarted
from bench.loader import Address
from bench.processes import Process, free_port
from bench.world import PLAIN_PATH, World, check_answer, check_refusal

__all__ = ["ROW", "Sessions", "session_route"]

ROW = "session"
PEOPLE = ("mina", "joon", "sora")
SESSIONS = 60
NAME = "bench.localhost"
SECRET = "bench-only-secret-of-both-clients"  # noqa: S105 - of a provider that lives for a minute
TICKET = "__Host-haetae-session"
PROXY_COOKIE = "_oauth2_proxy"


def session_route(port: int, provider: str) -> tuple[str, str]:
    """What `gateway.yaml` and the route add for this row."""
    settings = f"""oidc:
  issuer: {provider}
  client-id: bench-haetae
  client-secret: {SECRET}
  origins: [http://{NAME}:{port}]
  algorithms: [RS256]
session:
  idle: 30m
"""
    filters = """
    filters:
      - Block
      - name: OidcSession
        args:
          preset: generic
          identity: headers
"""
    return settings, filters


class Sessions:
    """The provider and who signed in; made when the row is started."""

    def __init__(self, world: World, store: str) -> None:
        self._world = world
        self._store = store
        self.gateway: Address = ("127.0.0.1", free_port())
        self.proxy: Address = ("127.0.0.1", free_port())
        self.provider: Address = ("127.0.0.1", free_port())

    @property
    def issuer(self) -> str:
        """The provider's name."""
        return f"http://{self.provider[0]}:{self.provider[1]}"

    def start_provider(self) -> None:
        """Start the demo provider with one client for each contender."""
        folder = self._world.directory
        clients = [
            self._client("bench-haetae", self.gateway, "/.haetae/callback"),
            self._client("bench-proxy", self.proxy, "/oauth2/callback"),
        ]
        (folder / "clients.json").write_bytes(orjson.dumps({"clients": clients}))
        (folder / "service-token").write_text(secrets.token_urlsafe(32))
        for name in ("clients.json", "service-token"):
            (folder / name).chmod(0o600)
        command = [sys.executable, "-m", "haetae_demo", "provider", "--port", str(self.provider[1])]
        command += ["--clients", str(folder / "clients.json"), "--service-token-file", str(folder / "service-token")]
        process = self._world.start("provider", command, gateway=False)
        process.wait_ready(self.provider, get_request("/.well-known/openid-configuration", "127.0.0.1"))

    def contender(self, name: str, address: Address, process: Process, cookie: str) -> Contender:
        """Sign people in and make their requests; those without a session must be refused."""
        cookies = asyncio.run(_sign_in_all(address, cookie))
        requests = [_request(address, f"{cookie}={value}") for value in cookies]
        contender = Contender(ROW, name, address, Repeated(requests), process, first_guess=3000.0)
        for request in requests[:3]:
            check_answer(contender, request)
        check_refusal(contender, _request(address, f"{cookie}=forged"), 401)
        return contender

    def start_proxy(self) -> Contender:
        """oauth2-proxy with sessions in Redis. Raises NotAvailable."""
        program = os.environ.get("HAETAE_OAUTH2_PROXY") or shutil.which("oauth2-proxy")
        if program is None:
            raise NotAvailable("oauth2-proxy is not installed (see bench/sessions.py)")
        upstream = self._world.upstream
        command = [
            str(Path(program).resolve()),
            "--provider=oidc", f"--oidc-issuer-url={self.issuer}", "--client-id=bench-proxy",
            f"--client-secret={SECRET}", f"--redirect-url=http://{NAME}:{self.proxy[1]}/oauth2/callback",
            f"--http-address={self.proxy[0]}:{self.proxy[1]}", f"--upstream=http://{upstream[0]}:{upstream[1]}/",
            "--session-store-type=redis", f"--redis-connection-url={self._store}", "--cookie-secure=false",
            f"--cookie-secret={secrets.token_hex(16)}", "--email-domain=*", "--skip-provider-button",
            "--code-challenge-method=S256", "--insecure-oidc-allow-unverified-email", "--scope=openid profile email",
            "--pass-user-headers=true", "--api-route=^/api/",
        ]  # fmt: skip
        process = self._world.start("session-oauth2-proxy", ["env", "GOMAXPROCS=1", *command], gateway=True)
        process.wait_ready(self.proxy, get_request("/ping", NAME))
        return self.contender("oauth2-proxy", self.proxy, process, PROXY_COOKIE)

    def _client(self, name: str, address: Address, callback: str) -> dict[str, object]:
        return {
            "client_id": name,
            "client_secret": SECRET,
            "audience": name,
            "grants": ["authorization_code", "refresh_token"],
            "scopes": ["openid", "profile", "email", "groups", "offline_access"],
            "redirect_uris": [f"http://{NAME}:{address[1]}{callback}"],
        }


def _request(address: Address, cookie: str) -> bytes:
    return get_request(PLAIN_PATH, f"{NAME}:{address[1]}", Cookie=cookie)


async def _sign_in_all(address: Address, cookie: str) -> list[str]:
    async with local_session() as session:
        found = []
        for number in range(SESSIONS):
            user = PEOPLE[number % len(PEOPLE)]
            browser = Browser(session=session)
            page = await browser.visit(f"http://{NAME}:{address[1]}/")
            await browser.submit(page, username=user, password=demo_password(user))
            value = browser.cookies.get(NAME, {}).get(cookie)
            if value is None:
                raise NotStarted(f"{user} could not sign in through port {address[1]}: {page.status} at {page.url}")
            found.append(value)
        return found
