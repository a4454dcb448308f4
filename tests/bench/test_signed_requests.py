"""Signed requests may be sent once: no two of a supply are alike, and each is complete."""

import time

import jwt
from haetae_crypto.gateway_keys import GatewayKeyPair
from haetae_crypto.jwk import ed25519_private_from_seed

from bench.devices import SignedRequests, context_answer, make_devices
from bench.machine import usable_cores
from bench.tokens import AUDIENCE, ISSUER, SCOPE, Issuer

URL = "http://api.bench.example/api/v1/transfers?dry=0"


def fields_of(wire: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = wire.partition(b"\r\n\r\n")
    request_line, *lines = head.decode().split("\r\n")
    return request_line, dict(line.split(": ", 1) for line in lines), body


def test_supply_gives_the_asked_number_of_complete_requests_with_nonces_of_their_own() -> None:
    now = int(time.time())
    devices = make_devices(Issuer(), now=now, count=4)
    gateway_key = GatewayKeyPair.from_seed(bytes(32), kid="app-bench").public
    with SignedRequests(devices, gateway_key, URL, cores=usable_cores()[:1]) as supply:
        first, second = supply.prepare(9), supply.prepare(9)
        wires = [first() for _ in range(9)] + [second() for _ in range(9)]
    nonces, key_ids = set(), set()
    for wire in wires:
        request_line, fields, body = fields_of(wire)
        assert request_line == "POST /api/v1/transfers?dry=0 HTTP/1.1"
        assert fields["host"] == "api.bench.example"
        assert int(fields["content-length"]) == len(body) > 1024
        assert fields["content-encoding"] == "aes128gcm"
        parameters = dict(part.split("=", 1) for part in fields["signature-input"].split(";")[1:])
        nonces.add(parameters["nonce"])
        key_ids.add(parameters["keyid"])
    assert len(nonces) == len(wires)
    assert len(key_ids) == 4


def test_tokens_are_those_that_the_routes_ask_for() -> None:
    issuer, now = Issuer(), int(time.time())
    [device] = make_devices(issuer, now=now, count=1)
    claims = jwt.decode(device.token, issuer.public_key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)
    assert claims["sub"] == device.user
    assert claims["scope"] == SCOPE
    assert jwt.get_unverified_header(device.token)["typ"] == "at+jwt"
    assert claims["cnf"]["jkt"] == ed25519_private_from_seed(device.seed).public.thumbprint


def test_answers_of_the_played_services_fit_a_configuration_file() -> None:
    [device] = make_devices(Issuer(), now=1_763_800_000, count=1)
    for text in (device.record(), context_answer()):
        assert "'" not in text
        assert "$" not in text
        assert len(text) < 4000
