"""One file, read by the policy service and by fraud detection: what each then refuses, and files that are not taken."""

import secrets
import time
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from haetae_cli.errors import InputInvalid
from haetae_cli.policy_service import AUDIENCE, TOKEN_ISSUER, DevelopmentKey, terminal_token
from haetae_cli.protected import protected_of, read_protected
from haetae_cli.state import StateDirectory
from haetae_crypto.jws import sign_compact
from haetae_policy.protected import NOBODY

from tests.policy.conftest import Server
from tests.policy_api.service_process import service

SAMPLE = Path(__file__).resolve().parents[2] / "config"
LISTED = "networks:  # partners\n- 203.0.113.0/28\nusers: [u-batch]\ndevices:\n"


def machine_token(state: StateDirectory) -> str:
    now = int(time.time())
    claims = {"iss": TOKEN_ISSUER, "aud": AUDIENCE, "sub": "velocity", "client_id": "velocity", "iat": now}
    claims |= {"exp": now + 60, "jti": secrets.token_hex(16), "scope": "policies:write"}
    return sign_compact(orjson.dumps(claims), key=DevelopmentKey.of(state).key, typ="at+jwt")


def test_service_refuses_machines_what_the_file_protects_and_lets_people_do_it(
    own_valkey: Server, tmp_path: Path
) -> None:
    state = StateDirectory(tmp_path / "state")
    state.create()
    (tmp_path / "protected.yaml").write_text(LISTED)
    with service(own_valkey, state, "--protected", str(tmp_path / "protected.yaml")) as (url, _):

        def ask(token: str, subject: dict[str, Any]) -> httpx.Response:
            document = {"action": "block", "reason": "r", "lasts_s": 60, "subject": subject}
            return httpx.post(f"{url}/v1/policies", json=document, headers={"Authorization": f"Bearer {token}"})

        machine = machine_token(state)
        for subject, field in (({"ip": "203.0.113.0/24"}, "subject.ip"), ({"user": "u-batch"}, "subject.user")):
            refused = ask(machine, subject)
            assert refused.status_code == 422
            assert [error["field"] for error in refused.json()["errors"]] == [field]
            assert ask(terminal_token(state, "kim"), subject).status_code == 201
        assert ask(machine, {"user": "u-1"}).status_code == 201


@pytest.mark.parametrize(
    "text",
    [
        "networks: [203.0.113.0/28]\nnetworks: []\n",
        "networks: &a [203.0.113.0/28]\n",
        "networks: [203.0.113.7/28]\n",
        "never_block: [203.0.113.0/28]\n",
        "- 203.0.113.0/28\n",
        "networks: [a\n",
        "networks:\n- a: b\n",
    ],
)
def test_file_that_could_be_misread_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "listed.yaml"
    path.write_text(text)
    with pytest.raises(InputInvalid, match=r"listed\.yaml"):
        read_protected(path)


def test_file_that_is_not_there_is_an_error_and_no_file_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="cannot read"):
        read_protected(tmp_path / "none.yaml")
    assert read_protected(None) == NOBODY
    assert protected_of(tmp_path) is None


def test_link_that_leads_nowhere_is_an_unreadable_list_and_not_none(tmp_path: Path) -> None:
    (tmp_path / "protected.yaml").symlink_to(tmp_path / "gone" / "protected.yaml")
    with pytest.raises(InputInvalid, match="cannot read"):
        read_protected(protected_of(tmp_path))


def test_file_of_the_sample_configuration_is_found_and_can_be_read() -> None:
    path = protected_of(SAMPLE)
    assert path is not None
    assert read_protected(path) == NOBODY
