"""``haetae keys``: made once, private, rotated in order, published without secrets."""

import json
from pathlib import Path
from typing import Any

import pytest
from haetae_cli.errors import KeysUnusable
from haetae_cli.key_material import APP_LEAD, KeyMaterial
from haetae_crypto.discovery import read_app_keys
from haetae_crypto.gateway_keys import DAY
from haetae_crypto.jwk import parse_public_jwk
from haetae_crypto.jwks import parse_jwks

NOW = 1_763_800_000


class Counter:
    """Bytes that differ at each call, the same in each run."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, size: int) -> bytes:
        self.calls += 1
        return self.calls.to_bytes(size, "big")


@pytest.fixture
def material(tmp_path: Path) -> KeyMaterial:
    material = KeyMaterial(tmp_path / "keys")
    assert material.init(now=NOW, random_bytes=Counter()) == ["root", "app", "passport"]
    return material


def states(material: KeyMaterial, purpose: str) -> list[str]:
    return [line.state for line in material.lines() if line.purpose == purpose]


def test_keys_are_made_once_and_privately(haetae: Any, tmp_path: Path) -> None:
    folder = tmp_path / "k"
    first = haetae.run("keys", "init", "--dir", str(folder))
    assert (first.code, first.out.splitlines()[0]) == (0, "made root, app, passport keys")
    assert folder.stat().st_mode & 0o777 == 0o700
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(kept) == ["app-keys.json", "passport-keys.json", "root-key.json"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    second = haetae.run("keys", "init", "--dir", str(folder))
    assert (second.code, second.out.splitlines()[0]) == (0, "all keys were there already")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept
    listed = json.loads(haetae.run("keys", "list", "--json", HAETAE_KEYS=str(folder)).out)
    assert [(line["purpose"], line["state"]) for line in listed] == [
        ("app", "active"),
        ("passport", "active"),
        ("root", "active"),
    ]


def test_published_documents_verify_and_hold_no_secret(haetae: Any, tmp_path: Path) -> None:
    folder = tmp_path / "k"
    haetae.run("keys", "init", "--dir", str(folder))
    documents = {
        purpose: haetae.run("keys", "publish", purpose, "--dir", str(folder)).out
        for purpose in ("app", "passport", "root")
    }
    root = parse_public_jwk(json.loads(documents["root"]))
    keys = read_app_keys(documents["app"].encode().strip(), root_key=root)
    assert keys.keys[0].key.suite.name == "MLKEM768-X25519"
    parse_jwks(documents["passport"].encode())
    everything = "".join(documents.values())
    for file in folder.iterdir():
        for key in json.loads(file.read_bytes())["keys"]:
            secret = key["key"].get("d") or key["key"]["seed"]
            assert secret not in everything


def test_rotation_by_command_publishes_a_next_key_and_refuses_the_second_step_too_early(
    haetae: Any, tmp_path: Path
) -> None:
    haetae.run("keys", "init", "--dir", str(tmp_path / "k"))
    first = haetae.run("keys", "rotate", "passport", "--dir", str(tmp_path / "k"))
    assert first.code == 0
    assert [line.split()[3] for line in first.out.splitlines()] == ["state", "active", "next"]
    second = haetae.run("keys", "rotate", "passport", "--dir", str(tmp_path / "k"))
    assert second.code == 1
    assert "not due for another" in second.err
    assert "Traceback" not in second.err


@pytest.mark.parametrize("purpose", ["app", "passport"])
def test_rotation_makes_a_key_active_only_when_it_was_published_long_enough(
    material: KeyMaterial, purpose: Any
) -> None:
    lead = DAY
    material.rotate(purpose, now=NOW, lead=None, random_bytes=Counter())
    assert states(material, purpose) == ["active", "next"]
    with pytest.raises(KeysUnusable, match="not due for another 1 s"):
        material.rotate(purpose, now=NOW + lead - 1, lead=None, random_bytes=Counter())
    fresh = Counter()
    fresh.calls = 1000
    material.rotate(purpose, now=NOW + lead, lead=None, random_bytes=fresh)
    assert states(material, purpose) == ["verify-only", "active", "next"]


def test_lead_too_short_for_others_to_learn_of_the_key_is_refused(material: KeyMaterial) -> None:
    with pytest.raises(KeysUnusable, match=f"at least {APP_LEAD} s"):
        material.rotate("app", now=NOW, lead=APP_LEAD - 1, random_bytes=Counter())


def test_root_key_is_not_rotated(material: KeyMaterial) -> None:
    with pytest.raises(KeysUnusable, match="pin"):
        material.rotate("root", now=NOW, lead=None, random_bytes=Counter())


def test_rings_without_an_active_key_are_renewed_and_others_kept(material: KeyMaterial) -> None:
    root = material.publish("root", now=NOW)
    assert material.renew_expired(now=NOW + DAY, random_bytes=Counter()) == []
    assert material.renew_expired(now=NOW + 31 * DAY, random_bytes=Counter()) == ["app"]
    assert material.renew_expired(now=NOW + 91 * DAY, random_bytes=Counter()) == ["app", "passport"]
    assert material.publish("root", now=NOW + 91 * DAY) == root


def named(material: KeyMaterial, purpose: str) -> dict[str, str]:
    return {line.kid: line.state for line in material.lines() if line.purpose == purpose}


@pytest.mark.parametrize("purpose", ["app", "passport"])
def test_retired_active_key_gives_way_to_the_next_one_at_once_and_to_a_fresh_one_where_there_is_none(
    material: KeyMaterial, purpose: Any
) -> None:
    [first] = named(material, purpose)
    source = Counter()
    source.calls = 1000
    material.rotate(purpose, now=NOW, lead=None, random_bytes=source)
    [_, second] = named(material, purpose)
    material.retire(purpose, first, now=NOW + 1, random_bytes=source)
    assert named(material, purpose) == {first: "retired", second: "active"}
    published = material.publish(purpose, now=NOW + 1).decode()
    assert second in published
    assert first not in published
    material.retire(purpose, second, now=NOW + 2, random_bytes=source)
    states_now = named(material, purpose)
    assert list(states_now.values()) == ["retired", "retired", "active"]
    assert material.renew_expired(now=NOW + 2, random_bytes=source) == []
    with pytest.raises(KeysUnusable, match="haetae keys list"):
        material.retire(purpose, "nobody's", now=NOW, random_bytes=source)
    assert named(material, purpose) == states_now


def test_retired_key_that_was_not_active_leaves_the_active_one_alone(material: KeyMaterial) -> None:
    source = Counter()
    source.calls = 1000
    material.rotate("app", now=NOW, lead=None, random_bytes=source)
    [active, upcoming] = named(material, "app")
    material.retire("app", upcoming, now=NOW, random_bytes=source)
    assert named(material, "app") == {active: "active", upcoming: "retired"}


def test_retire_by_command_withdraws_the_key_and_lists_what_is_there(haetae: Any, tmp_path: Path) -> None:
    folder = ("--dir", str(tmp_path / "k"))
    haetae.run("keys", "init", *folder)
    [kid] = [line["kid"] for line in json.loads(haetae.run("keys", "list", "--json", *folder).out)][:1]
    done = haetae.run("keys", "retire", "app", kid, *folder)
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()[1:]]
    assert [row[3] for row in rows] == ["retired", "active"]
    assert rows[0][1] == kid
    unknown = haetae.run("keys", "retire", "app", "app-nobody", *folder)
    assert (unknown.code, unknown.err.count("\n")) == (1, 1)


@pytest.mark.parametrize("verb", [["list"], ["rotate", "app"], ["publish", "root"]])
def test_missing_keys_say_how_to_make_them(haetae: Any, verb: list[str]) -> None:
    outcome = haetae.run("keys", *verb)
    assert outcome.code == 1
    assert "haetae keys init" in outcome.err
    assert outcome.err.count("\n") == 1


def test_keys_others_can_read_are_refused(haetae: Any, tmp_path: Path) -> None:
    haetae.run("keys", "init", "--dir", str(tmp_path / "k"))
    (tmp_path / "k" / "app-keys.json").chmod(0o644)
    outcome = haetae.run("keys", "list", "--dir", str(tmp_path / "k"))
    assert outcome.code == 1
    assert "chmod 600" in outcome.err
