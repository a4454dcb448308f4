"""``haetae passport inspect``: never calls valid what was not verified."""

import json
import time
from pathlib import Path
from typing import Any

from haetae_crypto.signing_keys import SigningRing, new_signing_ring
from haetae_passport import CallContext, PassportMinter, jwks_document


def made(tmp_path: Path) -> tuple[str, SigningRing, str]:
    now = time.time()
    ring = new_signing_ring(bytes(range(32)), now=int(now) - 10)
    context = CallContext(gateway="app", route="r", trace="t", client="192.0.2.1", auth=("test",))
    token = PassportMinter(issuer="haetae", ring=ring).mint(
        audience="bank", subject="u-1", context=context, passport_id="p", now=now
    )
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks_document(ring, now=now))
    return token, ring, str(path)


def test_unverified_passport_is_shown_and_labelled(haetae: Any, tmp_path: Path) -> None:
    token, _, _ = made(tmp_path)
    outcome = haetae.run("passport", "inspect", token)
    assert outcome.code == 0
    assert "NOT VERIFIED" in outcome.out.splitlines()[0]
    assert '"u-1"' in outcome.out


def test_passport_from_standard_input_is_verified_with_a_key_file(haetae: Any, tmp_path: Path) -> None:
    token, _, jwks = made(tmp_path)
    options = ["--jwks", jwks, "--issuer", "haetae", "--audience", "bank"]
    outcome = haetae.run("passport", "inspect", "-", *options, stdin=f"X-Passport: {token}\n")
    assert outcome.code == 0
    assert outcome.out.startswith("verdict  valid")
    as_json = haetae.run("passport", "inspect", token, "--json", *options)
    assert json.loads(as_json.out)["verified"] is True


def test_passport_for_another_service_exits_one(haetae: Any, tmp_path: Path) -> None:
    token, _, jwks = made(tmp_path)
    options = ["--jwks", jwks, "--issuer", "haetae", "--audience", "other"]
    outcome = haetae.run("passport", "inspect", token, *options)
    assert outcome.code == 1
    assert "NOT VERIFIED (audience)" in outcome.out


def test_text_that_is_no_token_exits_one(haetae: Any) -> None:
    outcome = haetae.run("passport", "inspect", "hello\x1b[2J")
    assert outcome.code == 1
    assert "\x1b" not in outcome.out


def test_missing_key_file_or_expectation_is_one_clear_line(haetae: Any, tmp_path: Path) -> None:
    token, _, jwks = made(tmp_path)
    outcome = haetae.run("passport", "inspect", token, "--jwks", jwks)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "--issuer" in outcome.err
    options = ["--jwks", "absent.json", "--issuer", "haetae", "--audience", "bank"]
    outcome = haetae.run("passport", "inspect", token, *options)
    assert (outcome.code, outcome.err) == (
        1,
        "haetae passport: cannot read absent.json: no such file or directory\n",
    )


def test_unreachable_key_url_is_one_clear_line(haetae: Any, tmp_path: Path) -> None:
    token, _, _ = made(tmp_path)
    options = ["--jwks", "http://127.0.0.1:1/jwks", "--issuer", "haetae", "--audience", "bank"]
    outcome = haetae.run("passport", "inspect", token, *options)
    assert outcome.code == 1
    assert "no keys from" in outcome.err
    assert "Traceback" not in outcome.err
