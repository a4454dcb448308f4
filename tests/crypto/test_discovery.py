"""The published key list: only what the pinned root key signed, exactly as signed."""

import json
from typing import Any

import pytest
from haetae_crypto.discovery import APP_KEYS_TYP, build_app_keys, read_app_keys
from haetae_crypto.errors import DiscoveryInvalid, KeyUnavailable
from haetae_crypto.gateway_keys import CLASSIC, HYBRID, new_gateway_ring, next_gateway_entry
from haetae_crypto.jws import sign_compact
from haetae_crypto.keyring import KeyRing, KeyState, RingEntry
from haetae_crypto.signing_keys import SigningKey
from haetae_crypto.strict_json import canonical_json
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_763_800_000
ROOT = SigningKey.from_seed(b"\x44" * 32, kid="root-1")
RING = new_gateway_ring(b"\x01" * 32, kid="g1", now=NOW, kem=CLASSIC).rotate(
    next_gateway_entry(b"\x02" * 32, kid="g2", now=NOW, lead=100, kem=HYBRID), now=NOW
)
DOCUMENT = build_app_keys(RING, root_key=ROOT, now=NOW)


def test_client_reads_the_list_and_changes_to_the_next_key_when_it_is_due() -> None:
    keys = read_app_keys(DOCUMENT, root_key=ROOT.public)
    assert [entry.key.kid for entry in keys.keys] == ["g1", "g2"]
    assert keys.choose(now=NOW).kid == "g1"
    assert keys.choose(now=NOW + 100).kid == "g2"
    assert keys.choose(now=NOW + 100).raw == RING.entries[1].key.public.raw
    for outside in (NOW - 1, NOW + 10**9):
        with pytest.raises(DiscoveryInvalid):
            keys.choose(now=outside)


def test_document_has_the_members_of_the_page() -> None:
    document = json.loads(DOCUMENT)
    assert set(document) == {"keys", "signature"}
    members = {"kid", "kem", "kdf", "aead", "public_key", "not_before", "not_after"}
    assert all(set(key) == members for key in document["keys"])
    assert (document["keys"][1]["kem"], document["keys"][1]["kdf"]) == ("MLKEM768-X25519", "HKDF-SHA256")
    assert document["keys"][1]["aead"] == "AES-128-GCM"


def test_keys_that_no_longer_open_or_only_open_are_not_published() -> None:
    entries = (RING.entries[0], RingEntry("g0", RING.entries[0].key, KeyState.VERIFY_ONLY, NOW, NOW + 99))
    document = json.loads(build_app_keys(KeyRing(entries), root_key=ROOT, now=NOW))
    assert [key["kid"] for key in document["keys"]] == ["g1"]
    with pytest.raises(KeyUnavailable):
        build_app_keys(KeyRing(()), root_key=ROOT, now=NOW)


def test_list_reordered_by_a_json_writer_still_reads() -> None:
    document = json.loads(DOCUMENT)
    document["keys"] = [dict(reversed(key.items())) for key in document["keys"]]
    assert read_app_keys(json.dumps(document, indent=2).encode(), root_key=ROOT.public).keys


def signed(keys: Any, key: SigningKey = ROOT, typ: str = APP_KEYS_TYP) -> bytes:
    return canonical_json({"keys": keys, "signature": sign_compact(canonical_json(keys), key=key, typ=typ)})


KEYS = json.loads(DOCUMENT)["keys"]


def with_change(**change: Any) -> list[dict[str, Any]]:
    return [KEYS[0] | change]


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [KEYS[0], KEYS[0]],
        KEYS * 40,
        {"0": KEYS[0]},
        [1],
        with_change(more=1),
        with_change(kem="P-256"),
        with_change(kem=HYBRID),
        with_change(kem=["X25519"]),
        with_change(kdf="HKDF-SHA512"),
        with_change(aead="AES-256-GCM"),
        with_change(kid="a b"),
        with_change(kid=1),
        with_change(public_key="AAAA"),
        with_change(public_key=KEYS[0]["public_key"] + "="),
        with_change(not_before=True),
        with_change(not_before="1"),
        with_change(not_before=KEYS[0]["not_after"]),
        with_change(not_before=-1),
    ],
    ids=range(19),
)
def test_list_of_another_form_is_refused_even_when_signed(keys: Any) -> None:
    with pytest.raises(DiscoveryInvalid):
        read_app_keys(signed(keys), root_key=ROOT.public)


def test_list_signed_by_another_key_or_for_another_purpose_is_refused() -> None:
    stranger = SigningKey.from_seed(bytes(32), kid="root-1")
    for document in (
        signed(KEYS, stranger),
        signed(KEYS, SigningKey.from_seed(b"\x44" * 32, kid="root-2")),
        signed(KEYS, typ="passport+jwt"),
    ):
        with pytest.raises(DiscoveryInvalid):
            read_app_keys(document, root_key=ROOT.public)
    with pytest.raises(DiscoveryInvalid):
        read_app_keys(
            DOCUMENT,
            root_key=SigningKey.from_seed(b"\x44" * 32).jwk.public.__class__(
                kty="OKP", kid=None, alg=None, key=ROOT.public.key, members=ROOT.public.members, thumbprint=""
            ),
        )


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d["keys"].pop(),
        lambda d: d["keys"].reverse(),
        lambda d: d["keys"][0].update(not_after=d["keys"][0]["not_after"] + 1),
        lambda d: d["keys"][0].update(not_after=float(d["keys"][0]["not_after"])),
        lambda d: d.update(signature=d["signature"] + "="),
        lambda d: d.update(signature=1),
        lambda d: d.update(more=1),
        lambda d: d.pop("signature"),
    ],
    ids=["removed", "reversed", "prolonged", "float", "padded", "number", "more", "unsigned"],
)
def test_list_changed_after_signing_is_refused(edit: Any) -> None:
    document = json.loads(DOCUMENT)
    edit(document)
    with pytest.raises(DiscoveryInvalid):
        read_app_keys(json.dumps(document).encode(), root_key=ROOT.public)


@given(st.binary(max_size=120))
def test_any_bytes_are_refused_with_the_declared_error(document: bytes) -> None:
    with pytest.raises(DiscoveryInvalid):
        read_app_keys(document, root_key=ROOT.public)


@given(st.integers(0, len(DOCUMENT) * 8 - 1))
def test_any_one_bit_change_is_refused(bit: int) -> None:
    changed = (int.from_bytes(DOCUMENT, "big") ^ (1 << bit)).to_bytes(len(DOCUMENT), "big")
    with pytest.raises(DiscoveryInvalid):
        read_app_keys(changed, root_key=ROOT.public)
