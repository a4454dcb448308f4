"""The identity service: devices, context for Passports, switching accounts off.

- ``POST /v1/devices``: enrol a device key, with the person's enrolment code and a proof signed by that key.
- ``GET /v1/devices/{keyid}``: who a device key belongs to. Needs the service token, as do the next ones.
- ``POST /v1/context``: what a Passport says about a caller.
- ``POST /v1/accounts/{id}/disable``: switch an account off; ``enable`` switches it on again.
- ``POST /api/v1/login``: ``{"name","password"}``, for anybody, through the sign-in gateway; the answer tells the
  gateway in ``Haetae-Auth`` what became of it, and the caller only whether it was right.

Credentials are bearer tokens (RFC 6750, header only). Rules kept: a device proves that it holds the key it
enrols; the person follows from the enrolment code, never from the request; answers are problem+json on
refusal. With a state file, enrolments survive a restart.
"""

import asyncio
import hmac
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson
from aiohttp import web
from haetae_crypto.strict_json import read_json_object

from haetae_demo.assertions import ENROL_TYPE, verify_statement
from haetae_demo.directory import Directory, read_device_facts, read_device_key
from haetae_demo.errors import CredentialsInvalid, WorldInvalid
from haetae_demo.fields import Fields
from haetae_demo.io.serving import application, body_fields, json_response, problem
from haetae_demo.log_in import MAX_NAME, MAX_PASSWORD, Customers
from haetae_demo.once import OnceTable

AUDIENCE = "haetae-demo-identity"
MAX_STATE_BYTES = 64 * 1024 * 1024


class IdentityService:
    """The HTTP face of a :class:`Directory`.

    Args:
        directory: people and devices.
        service_token: what gateways and the token issuer present.
        state_file: where enrolments are kept, or None to forget them.
        clock: Unix seconds.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        service_token: str,
        state_file: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._service_token = service_token.encode()
        self._state_file = state_file
        self._clock = clock
        self._once = OnceTable()
        self._saving = asyncio.Lock()
        self._customers = Customers(key=os.urandom(32))

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = application()
        app.router.add_post("/v1/devices", self._enrol)
        app.router.add_get("/v1/devices/{keyid}", self._device)
        app.router.add_post("/v1/context", self._context)
        app.router.add_post("/v1/accounts/{user_id}/disable", self._disable)
        app.router.add_post("/v1/accounts/{user_id}/enable", self._enable)
        app.router.add_post("/api/v1/login", self._log_in)
        return app

    async def _enrol(self, request: web.Request) -> web.Response:
        person = self._directory.person_by_code(_bearer(request))
        fields = await body_fields(request)
        key = read_device_key(fields.raw_object("public_key"))
        platform, app_version, attestation = read_device_facts(fields.nested("device"))
        proof = fields.text("proof", most=4096)
        fields.done()
        now = self._clock()
        statement = verify_statement(proof, key=key, statement_type=ENROL_TYPE, audience=AUDIENCE, now=now)
        self._once.claim(key.thumbprint, statement.jti, until=statement.expires, now=now)
        device = self._directory.enrol(
            person, key=key, platform=platform, app_version=app_version, attestation=attestation
        )
        await self._save()
        headers = {"Location": f"/v1/devices/{device.keyid}"}
        return json_response(self._directory.record(device.keyid), status=201, headers=headers)

    async def _log_in(self, request: web.Request) -> web.Response:
        fields = await body_fields(request)
        name = fields.text("name", most=MAX_NAME)
        password = fields.text("password", most=MAX_PASSWORD)
        fields.done()
        outcome, report = self._customers.check(name, password)
        if outcome == "ok":
            return json_response({"signed_in": True}, headers={"Haetae-Auth": report})
        answer = problem(status=401, code="credentials-invalid", title="The name or the password is not right")
        answer.headers["Haetae-Auth"] = report
        return answer

    async def _device(self, request: web.Request) -> web.Response:
        self._only_services(request)
        return json_response(self._directory.record(request.match_info["keyid"]))

    async def _context(self, request: web.Request) -> web.Response:
        self._only_services(request)
        fields = await body_fields(request)
        sub = fields.text("sub", most=64)
        keyid = fields.optional_text("keyid", most=128)
        fields.optional_text("route", most=200)
        fields.done()
        return json_response(self._directory.context(sub=sub, keyid=keyid))

    async def _disable(self, request: web.Request) -> web.Response:
        return await self._switch(request, disabled=True)

    async def _enable(self, request: web.Request) -> web.Response:
        return await self._switch(request, disabled=False)

    async def _switch(self, request: web.Request, *, disabled: bool) -> web.Response:
        self._only_services(request)
        if request.can_read_body:
            fields: Fields = await body_fields(request)
            fields.optional_text("reason")
            fields.done()
        user_id = request.match_info["user_id"]
        changed = self._directory.set_disabled(user_id, disabled=disabled)
        await self._save()
        status = "disabled" if disabled else "active"
        return json_response({"user_id": user_id, "status": status, "changed": changed})

    def _only_services(self, request: web.Request) -> None:
        if not hmac.compare_digest(_bearer(request).encode(), self._service_token):
            raise CredentialsInvalid("this service token is not known")

    async def _save(self) -> None:
        if self._state_file is None:
            return
        # One writer at a time, so that an older export cannot replace a newer one.
        async with self._saving:
            data = orjson.dumps(self._directory.export())
            await asyncio.to_thread(_replace, self._state_file, data)


def load_state(directory: Directory, state_file: Path) -> None:
    """Take enrolments back from ``state_file``; a file that is not there is an empty one.

    Raises:
        WorldInvalid: the file is not one this service wrote.
        OSError: it cannot be read.
    """
    try:
        raw = state_file.read_bytes()
    except FileNotFoundError:
        return
    try:
        members = read_json_object(raw, max_bytes=MAX_STATE_BYTES)
    except ValueError as error:
        raise WorldInvalid(f"{state_file} is not a state file; remove it to start afresh") from error
    directory.restore(members)


def _bearer(request: web.Request) -> str:
    lines = request.headers.getall("Authorization", [])
    if len(lines) != 1:
        raise CredentialsInvalid("one bearer token is required")
    scheme, _, token = lines[0].partition(" ")
    if scheme.lower() != "bearer" or not token.isascii() or not 1 <= len(token) <= 512:
        raise CredentialsInvalid("one bearer token is required")
    return token


def _replace(path: Path, data: bytes) -> None:
    """Write beside the file and swap, so that a crash leaves the old or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
