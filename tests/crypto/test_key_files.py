"""Key files: private, atomic, and refused when others could have read them."""

import os
import stat
from pathlib import Path

import pytest
from haetae_crypto.errors import KeyFileInvalid
from haetae_crypto.gateway_keys import new_gateway_ring
from haetae_crypto.io import KeyDirectory
from haetae_crypto.signing_keys import new_signing_ring

RING = new_signing_ring(b"\x05" * 32, now=1000)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "keys"
    KeyDirectory(path).create()
    return path


def test_rings_survive_the_disk_and_files_are_private(directory: Path) -> None:
    keys = KeyDirectory(directory)
    gateway = new_gateway_ring(b"\x06" * 32, kid="g1", now=1000)
    keys.save_app_keys(gateway)
    keys.save_passport_keys(RING)
    keys.save_root_key(RING)
    assert keys.load_app_keys().entries[0].key.public.raw == gateway.entries[0].key.public.raw
    assert keys.load_passport_keys().entries[0].key.sign(b"x") == RING.entries[0].key.sign(b"x")
    assert keys.load_root_key().active(now=1000).kid == RING.entries[0].kid
    assert sorted(file.name for file in directory.iterdir()) == ["app-keys.json", "passport-keys.json", "root-key.json"]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}


def test_files_are_private_whatever_the_umask(directory: Path) -> None:
    before = os.umask(0)
    try:
        KeyDirectory(directory).save_root_key(RING)
    finally:
        os.umask(before)
    assert stat.S_IMODE((directory / "root-key.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_file_open_to_others_is_refused(directory: Path, mode: int) -> None:
    keys = KeyDirectory(directory)
    keys.save_root_key(RING)
    (directory / "root-key.json").chmod(mode)
    with pytest.raises(KeyFileInvalid, match="chmod 600"):
        keys.load_root_key()


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_directory_open_to_others_is_refused(directory: Path, mode: int) -> None:
    keys = KeyDirectory(directory)
    keys.save_root_key(RING)
    directory.chmod(mode)
    for use in (keys.load_root_key, keys.create):
        with pytest.raises(KeyFileInvalid, match="chmod 700"):
            use()
    with pytest.raises(KeyFileInvalid):
        keys.save_root_key(RING)
    directory.chmod(0o700)


def test_missing_file_and_directory_are_clear_errors(directory: Path, tmp_path: Path) -> None:
    keys = KeyDirectory(directory)
    assert not keys.has("root-key")
    with pytest.raises(KeyFileInvalid, match=r"root-key\.json"):
        keys.load_root_key()
    with pytest.raises(KeyFileInvalid):
        KeyDirectory(tmp_path / "absent").load_root_key()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KeyFileInvalid):
        KeyDirectory(tmp_path / "file").create()
    with pytest.raises(KeyFileInvalid):
        KeyDirectory(tmp_path / "file").load_root_key()


def test_link_pipe_or_directory_in_place_of_a_file_is_refused(directory: Path, tmp_path: Path) -> None:
    keys = KeyDirectory(directory)
    keys.save_passport_keys(RING)
    file = directory / "root-key.json"
    file.symlink_to(directory / "passport-keys.json")
    with pytest.raises(KeyFileInvalid):
        keys.load_root_key()
    file.unlink()
    os.mkfifo(file, 0o600)
    with pytest.raises(KeyFileInvalid, match="regular"):
        keys.load_root_key()
    file.unlink()
    file.mkdir(mode=0o700)
    with pytest.raises(KeyFileInvalid):
        keys.load_root_key()


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b"\xff", b" " * (256 * 1024 + 1)], ids=range(5))
def test_malformed_file_is_refused(directory: Path, content: bytes) -> None:
    file = directory / "root-key.json"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(KeyFileInvalid):
        KeyDirectory(directory).load_root_key()


def test_ring_of_one_purpose_is_not_read_for_another(directory: Path) -> None:
    keys = KeyDirectory(directory)
    keys.save_passport_keys(RING)
    (directory / "passport-keys.json").rename(directory / "root-key.json")
    with pytest.raises(KeyFileInvalid):
        keys.load_root_key()


def test_failed_write_leaves_the_old_ring_and_no_debris(directory: Path) -> None:
    keys = KeyDirectory(directory)
    keys.save_root_key(RING)
    (directory / "passport-keys.json").mkdir()
    with pytest.raises(KeyFileInvalid):
        keys.save_passport_keys(RING)
    assert keys.load_root_key() is not None
    assert sorted(file.name for file in directory.iterdir()) == ["passport-keys.json", "root-key.json"]
