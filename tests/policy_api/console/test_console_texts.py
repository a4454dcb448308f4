"""Both languages say everything, templates ask for what is there, vendored files are those of their manifest."""

import re
from hashlib import sha256
from importlib.resources import files
from string import Formatter

import orjson
import pytest
from haetae_fds.detectors.registry import DETECTORS
from haetae_policy.faults import FAULTS
from haetae_policy.model import Action, Mode
from haetae_policy_api.console.io.assets import load_assets
from haetae_policy_api.console.texts import LANGUAGES, Texts, choose_language
from haetae_policy_api.console.words import measure, named
from haetae_policy_api.errors import PROBLEMS
from haetae_policy_api.faults import API_FAULTS, said
from haetae_policy_api.roles import Role
from hypothesis import given
from hypothesis import strategies as st

HOME = files("haetae_policy_api") / "console"
ASSETS = load_assets()
ENGLISH, KOREAN = (ASSETS.texts[language] for language in LANGUAGES)
ASKED = re.compile(r"""\bt\(\s*'([a-z0-9_.]+)'\s*[,)]""")
GROUPS = re.compile(r"""\bt(?:\.word)?\(\s*'([a-z.]+?)\.?'\s*[~,]\s*[a-z]""")


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys_with_the_same_places() -> None:
    assert list(ENGLISH.entries) == list(KOREAN.entries)
    for key, text in ENGLISH.entries.items():
        korean = KOREAN.entries[key]
        assert text.strip()
        assert korean.strip()
        assert places(text) == places(korean) or key.endswith(".one"), key


def test_every_fault_and_every_refusal_is_told_in_korean_with_the_same_places() -> None:
    told = {**FAULTS, **API_FAULTS}
    assert FAULTS.keys().isdisjoint(API_FAULTS), "one table of translations serves both"
    assert KOREAN.faults.keys() == told.keys() | {f"other.{problem.code}" for problem in PROBLEMS}
    for code, text in told.items():
        assert places(text) == places(KOREAN.faults[code]), code
    assert [code for code, text in KOREAN.faults.items() if not re.search("[가-힣]", text)] == []


def test_message_without_a_code_is_told_as_its_refusal_and_never_in_a_foreign_language() -> None:
    assert ENGLISH.told("the store sleeps", code="unavailable") == "the store sleeps"
    assert KOREAN.told("the store sleeps", code="unavailable") == KOREAN.faults["other.unavailable"]
    assert KOREAN.told(said("role_needed", role="analyst")) == "분석가 역할이 필요합니다."
    assert (ENGLISH.field("subject.ip"), KOREAN.field("rate.limit")) == ("IP address or network", "요청 수")


def test_every_detector_and_every_number_it_compares_has_words() -> None:
    detectors = {detector.name for detector in DETECTORS} | {"systemic_fault", "clock_skew", "over_budget"}
    assert {key.removeprefix("detector.") for key in ENGLISH.entries if key.startswith("detector.")} == detectors
    measures = {key.removeprefix("measure.") for key in ENGLISH.entries if key.startswith("measure.")}
    assert measures == {name.replace(" ", "_") for name in compared()}
    for name in compared():
        assert measure(name, ENGLISH) == name
    assert (named("my_rule", KOREAN), measure("my_number", KOREAN)) == ("", "my number")


def compared() -> set[str]:
    """The names of numbers in the detectors' sources; `paths {name}` stands for two."""
    found = set()
    folder = files("haetae_fds")
    sources = [*folder.joinpath("detectors").iterdir(), *folder.joinpath("models").iterdir(), *folder.iterdir()]
    for source in sources:
        if source.name.endswith(".py"):
            found |= set(re.findall(r'\b(?:number\(\s*|Number\(name=)"([^"{]+)"', source.read_text()))
    named = {"paths in a minute", "paths in ten minutes", "objects in ten minutes", "list items in ten minutes"}
    return found | named | {"objects in a day"}


def test_korean_is_korean() -> None:
    names = {"policy.version"}
    untranslated = [key for key, text in KOREAN.entries.items() if not re.search("[가-힣]", text) and key not in names]
    assert untranslated == []


def test_every_text_a_template_asks_for_is_there_and_none_is_left_over() -> None:
    sources = "\n".join(ASSETS.templates.values())
    sources += "\n".join(item.read_text() for item in (HOME.joinpath("words.py"), HOME.joinpath("overview.py")))
    asked = set(ASKED.findall(sources.replace('"', "'"))) | set(re.findall(r"\"(alert\.[a-z_]+)\"", sources))
    assert asked - ENGLISH.entries.keys() == set()
    groups = tuple(f"{name}." for name in GROUPS.findall(sources.replace('"', "'")))
    also = (".one", ".means", "outside.")
    left = {key for key in ENGLISH.entries.keys() - asked if not key.startswith((*groups, "outside."))}
    assert {key for key in left if not key.endswith(also)} == set()


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("action", [action.value for action in Action]),
        ("mode", [mode.value for mode in Mode]),
        ("role", [role.name.lower() for role in Role]),
        ("problem", [problem.code for problem in PROBLEMS]),
        ("state", ["in_force", "pending", "revoked", "expired"]),
        ("reason", ["wide", "share_above_limit"]),
        ("label", ["confirm", "false-alarm"]),
    ],
)
def test_every_value_of_a_closed_group_has_a_word(group: str, values: list[str]) -> None:
    for value in values:
        assert f"{group}.{value}" in ENGLISH.entries


def test_a_text_there_is_not_is_an_error_and_never_an_empty_place() -> None:
    with pytest.raises(KeyError):
        ENGLISH("no.such.text")
    with pytest.raises(KeyError):
        ENGLISH("search.nothing")


def test_one_and_many_have_words_of_their_own() -> None:
    texts = Texts("en", {"n": "{count} things", "n.one": "one thing"})
    assert (texts("n", count=1), texts("n", count=2)) == ("one thing", "2 things")


@pytest.mark.parametrize(
    ("wish", "kept", "accept", "language"),
    [
        (None, None, "", "en"),
        (None, None, "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        (None, None, "en;q=0.5, ko;q=0.8", "ko"),
        (None, None, "fr, de;q=0.9", "en"),
        (None, "ko", "en", "ko"),
        ("en", "ko", "ko", "en"),
        ("../x", "fr", "ko", "ko"),
    ],
)
def test_wish_goes_before_habit_and_habit_before_the_browser(
    wish: str | None, kept: str | None, accept: str, language: str
) -> None:
    assert choose_language(wish, kept, accept) == language


@given(st.text(max_size=200))
def test_whatever_a_browser_says_a_language_there_is_comes_of_it(accept: str) -> None:
    assert choose_language(None, None, accept) in LANGUAGES


def test_vendored_files_are_exactly_those_of_the_manifest() -> None:
    folder = HOME / "static" / "vendor"
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    listed = {item["file"]: item["sha256"] for package in manifest for item in package["files"]}
    held = {item.name: sha256(item.read_bytes()).hexdigest() for item in folder.iterdir()}
    del held["manifest.json"]
    assert held == listed
    for package in manifest:
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert any(item["from"] == "LICENSE" for item in package["files"])


def test_own_files_name_no_other_place_and_carry_no_script_or_style_of_their_own() -> None:
    for name, template in ASSETS.templates.items():
        assert "://" not in template, name
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|\|safe|<script(?! src=)", template), name
    for name in ("console.js", "trusted.js", "console.css"):
        text = ASSETS.static[name].body.decode()
        assert "://" not in text, name
        assert not re.search(r"innerHTML|insertAdjacentHTML|\beval\(|new Function|document\.write", text), name
