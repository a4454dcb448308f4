"""A folder of models: versions, their cards, and the registry that says what each may do.

    registry · registry.key
    model_offline-3/model.json · card.json · card.md

Model files are numbers, never code, and are read strictly (`models.trees`). The registry holds the checksum of every
model file and is itself sealed, in its first line, with HMAC-SHA256 under a key of this folder, or another file's: what
was changed by anything but these commands is refused. That guards against mistakes and against whoever can write the
folder but not read the key; keep the key elsewhere (`key`) where that matters.

Rules kept: a file is complete before it has its name; a folder others may write to is refused.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson

from haetae_fds.errors import ModelInvalid
from haetae_fds.models import registry as reg
from haetae_fds.models.registry import Entry, Registry, Stage, read_registry, write_registry
from haetae_fds.models.roles import LABELS, NOVELTY, OFFLINE, Role
from haetae_fds.models.scorer import ModelScorer, ModelSettings
from haetae_fds.models.trees import MAX_BYTES, TrainedModel, read_model, write_model

KEY_BYTES: Final = 32
_REGISTRY: Final = "registry"
_KEY: Final = "registry.key"
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class ModelFolder:
    """One folder. All methods raise ModelInvalid for what cannot be used, with the reason."""

    def __init__(self, folder: Path, *, key: Path | None = None) -> None:
        self.folder = folder
        self._key = key or folder / _KEY

    def make(self) -> None:
        """Make the folder and its key unless they are there."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._key.exists():
                _write(self._key, secrets.token_bytes(KEY_BYTES), mode=0o600)
        except OSError as error:
            raise ModelInvalid(f"{self.folder}: {error.strerror}") from error

    def registry(self) -> Registry:
        """Return what there is; empty for a folder in which nothing was registered yet."""
        self._owned()
        path = self.folder / _REGISTRY
        if not path.exists():
            return Registry()
        seal, _, data = _read(path, reg.MAX_BYTES).partition(b"\n")
        if not hmac.compare_digest(self._seal(data), seal):
            raise ModelInvalid(f"{path} was changed by something else, or sealed with another key")
        return read_registry(data)

    def keep(self, registry: Registry) -> None:
        """Write the registry."""
        data = write_registry(registry)
        try:
            _write(self.folder / _REGISTRY, self._seal(data) + b"\n" + data)
        except OSError as error:
            raise ModelInvalid(f"{self.folder}: {error.strerror}") from error

    def add(self, model: TrainedModel, card: dict[str, Any], text: str, *, now: int) -> Entry:
        """Write a new version and its card, and register it in shadow."""
        registry = self.registry()
        data = write_model(model)
        entry = Entry(
            name=model.name, version=model.version, stage=Stage.SHADOW, made=now, sha256=sha256(data).hexdigest()
        )
        registry = registry.added(entry)
        place = self._place(entry)
        try:
            place.mkdir(mode=0o700, exist_ok=True)
            _write(place / "card.json", orjson.dumps(card, option=orjson.OPT_INDENT_2))
            _write(place / "card.md", text.encode())
            _write(place / "model.json", data)
        except OSError as error:
            raise ModelInvalid(f"{place}: {error.strerror}") from error
        self.keep(registry)
        return entry

    def model(self, entry: Entry) -> TrainedModel:
        """Read a version's model, if it is the one that was registered."""
        path = self._place(entry) / "model.json"
        data = _read(path, MAX_BYTES)
        if sha256(data).hexdigest() != entry.sha256:
            raise ModelInvalid(f"{path} is not the file that was registered")
        model = read_model(data)
        if (model.name, model.version) != (entry.name, entry.version):
            raise ModelInvalid(f"{path} is of another version")
        return model

    def card(self, entry: Entry) -> str:
        """Return a version's card for people; empty for models that learn while running."""
        path = self._place(entry) / "card.md"
        return _read(path, MAX_BYTES).decode(errors="replace") if path.exists() else ""

    def _place(self, entry: Entry) -> Path:
        return self.folder / f"{entry.name}-{entry.version}"

    def _seal(self, data: bytes) -> bytes:
        key = _read(self._key, 4096)
        if self._key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ModelInvalid(f"{self._key} can be read by others; run: chmod 600 {self._key}")
        if len(key) < KEY_BYTES:
            raise ModelInvalid(f"{self._key} is no key")
        return hmac.digest(key, data, "sha256").hex().encode()

    def _owned(self) -> None:
        try:
            found = self.folder.stat()
        except OSError as error:
            raise ModelInvalid(f"{self.folder}: {error.strerror}") from error
        if not stat.S_ISDIR(found.st_mode) or found.st_mode & _OTHERS:
            raise ModelInvalid(f"{self.folder} must be a folder that nobody else can write to")


def load_scorer(folder: ModelFolder, settings: ModelSettings | None = None) -> ModelScorer:
    """Return the models of a folder as an engine's scorer, each in the role its stage gives it. Raises ModelInvalid."""
    registry = folder.registry()
    champion, challenger = registry.champion(), registry.challenger()
    given = settings or ModelSettings()
    roles = {NOVELTY: registry.role(NOVELTY), LABELS: registry.role(LABELS)}
    if champion is not None:
        roles[OFFLINE] = Role(champion.stage.value)
    return ModelScorer(
        ModelSettings(roles={**roles, **given.roles}, alpha=given.alpha, least=given.least, seed=given.seed),
        trained=None if champion is None else folder.model(champion),
        challenger=None if challenger is None else folder.model(challenger),
    )


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ModelInvalid(f"{path}: {error.strerror}") from error
    if len(data) > most:
        raise ModelInvalid(f"{path}: too large")
    return data


def _write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
