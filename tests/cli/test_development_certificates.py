"""The development authority: files of its owner only, names where gateways look, rotation without a gap."""

import datetime
import json
import re
import shlex
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from haetae_cli.certificates import CertificateFiles
from haetae_cli.errors import KeysUnusable
from haetae_cli.main import main

NOW = 1_800_000_000.0


def checked(files: CertificateFiles, leaf: x509.Certificate, *, at: float = NOW) -> list[str]:
    """The names of a certificate that is good for clients under the present bundle."""
    store = Store(x509.load_pem_x509_certificates(files.ca.read_bytes()))
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    verified = PolicyBuilder().store(store).time(moment).build_client_verifier().verify(leaf, [])
    return [str(name.value) for name in verified.subjects or ()]


def issued(files: CertificateFiles, name: str, *sans: str, now: float = NOW) -> x509.Certificate:
    path = files.issue(name, sans, days=30, server=False, now=now)
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_certificate_is_good_has_its_names_and_only_its_owner_reads_the_files(tmp_path: Path) -> None:
    files = CertificateFiles(tmp_path)
    assert files.init(now=NOW)
    assert not files.init(now=NOW)
    leaf = issued(files, "app", "spiffe://td/app", "dns:app.test", "email:a@app.test")
    assert checked(files, leaf) == ["spiffe://td/app", "app.test", "a@app.test"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.path.iterdir()} == {0o600}


def test_certificates_of_the_old_authority_are_good_after_a_rotation_and_until_it_ends(tmp_path: Path) -> None:
    files = CertificateFiles(tmp_path)
    files.init(now=NOW)
    old = issued(files, "old", "spiffe://td/old")
    files.rotate(now=NOW)
    new = issued(files, "new", "spiffe://td/new")
    assert checked(files, old) == ["spiffe://td/old"]
    assert checked(files, new) == ["spiffe://td/new"]
    later = NOW + 366 * 86_400
    files.init(now=later)
    with pytest.raises(VerificationError):
        checked(files, old, at=later)


@pytest.mark.parametrize(
    ("name", "sans"), [("../x", ["dns:a.test"]), ("ca", ["dns:a.test"]), ("x", []), ("x", ["app"]), ("x", ["ip:a"])]
)
def test_bad_words_make_no_file(tmp_path: Path, name: str, sans: list[str]) -> None:
    files = CertificateFiles(tmp_path)
    files.init(now=NOW)
    before = sorted(files.path.iterdir())
    with pytest.raises(KeysUnusable):
        files.issue(name, sans, days=30, server=False, now=NOW)
    assert sorted(files.path.iterdir()) == before


def test_certificate_without_an_authority_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "certificate", "app", "--san", "dns:a.test", "--dir", str(tmp_path)]) == 1
    assert "haetae keys ca init" in capsys.readouterr().err


def test_envoy_configuration_replaces_the_header_and_passes_the_certificate_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gateway.yaml").write_text(
        "name: g\nprofile: plain\nclient-certificates: {source: xfcc, trusted-peers: [10.0.0.1]}\n"
    )
    words = ["envoy", "--config", str(tmp_path), "--certificate", "c.pem", "--key", "c.key", "--client-ca", "ca.pem"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    (chain,) = document["static_resources"]["listeners"][0]["filter_chains"]
    assert chain["transport_socket"]["typed_config"]["require_client_certificate"] is True
    manager = chain["filters"][0]["typed_config"]
    assert manager["forward_client_cert_details"] == "SANITIZE_SET"
    assert manager["set_current_client_cert_details"] == {"cert": True}


def test_documented_command_prints_a_configuration_for_the_sample(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    text = (root / "docs" / "certificates.md").read_text()
    [command] = re.findall(r"^    (SECURE_SOURCE=.*? haetae envoy .*?)\n\n", text, re.MULTILINE | re.DOTALL)
    words = shlex.split(command.replace("\\\n", " "))
    while "=" in words[0]:
        monkeypatch.setenv(*words.pop(0).split("=", 1))
    assert main(words[1:]) == 0
    [cluster] = json.loads(capsys.readouterr().out)["static_resources"]["clusters"]
    validation = cluster["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"]
    assert validation["trusted_ca"] == {"filename": str(root / "gateway-ca.pem")}


def test_envoy_in_front_of_a_gateway_that_would_not_believe_it_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gateway.yaml").write_text("name: g\nprofile: plain\n")
    words = ["envoy", "--config", str(tmp_path), "--certificate", "c.pem", "--key", "c.key", "--client-ca", "ca.pem"]
    assert main(words) == 1
    assert "trusted-peers" in capsys.readouterr().err
