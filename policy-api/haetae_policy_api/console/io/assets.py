"""Files of the console, read once at start: templates, texts, styles, scripts.

Rules kept: only names that were found at start are served, with their kind and digest; nothing comes from elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

import orjson

from haetae_policy_api.console.texts import LANGUAGES, Texts

_KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, media type, and the digest that goes into its address."""

    body: bytes
    kind: str
    digest: str


@dataclass(frozen=True, slots=True)
class Assets:
    """Everything that was read. `static` by path below `static/`, `templates` by name, `texts` by language."""

    static: Mapping[str, Asset]
    templates: Mapping[str, str]
    texts: Mapping[str, Texts]


@cache
def load_assets() -> Assets:
    """Return the files of the installed package."""
    home = files("haetae_policy_api") / "console"
    return Assets(
        static=MappingProxyType(dict(_static(home / "static", ""))),
        templates=MappingProxyType({item.name: item.read_text("utf-8") for item in (home / "templates").iterdir()}),
        texts=MappingProxyType({language: _texts(home / "texts", language) for language in LANGUAGES}),
    )


def _texts(folder: Traversable, language: str) -> Texts:
    faults = folder / f"faults.{language}.json"
    return Texts(
        language,
        MappingProxyType(orjson.loads((folder / f"{language}.json").read_bytes())),
        MappingProxyType(orjson.loads(faults.read_bytes()) if faults.is_file() else {}),
    )


def _static(folder: Traversable, under: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for item in folder.iterdir():
        name = f"{under}{item.name}"
        if item.is_dir():
            found += _static(item, f"{name}/")
        elif (kind := _KINDS.get(item.name.rpartition(".")[2])) is not None:
            body = item.read_bytes()
            found.append((name, Asset(body, kind, sha256(body).hexdigest()[:16])))
    return found
