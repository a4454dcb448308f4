"""Nothing can be configured or answered that is not documented."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from haetae_edge.config.binder import hints_of
from haetae_edge.config.gateway import GatewayConfig
from haetae_edge.config.spelling import camel
from haetae_edge.deadlines import Deadlines
from haetae_edge.docs import PAGES, main, settings_class
from haetae_edge.filter import Filter
from haetae_edge.filters.registry import FILTERS, ONCE_PER_ROUTE
from haetae_edge.limits import Limits
from haetae_edge.predicate import Predicate
from haetae_edge.predicates.registry import PREDICATES
from haetae_edge.profiles import PROFILES
from haetae_edge.query_rules import ParameterRule

ROOT = Path(__file__).parents[3]
ROUTES = (ROOT / "docs" / "routes.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """The text under a third-level heading."""
    assert f"\n### {heading}\n" in ROUTES
    return ROUTES.split(f"\n### {heading}\n", 1)[1].split("\n##", 1)[0]


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_current(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == PAGES[name]()


def test_the_generator_writes_every_page(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(PAGES)
    assert main([]) == 2


COMPONENTS: list[tuple[str, type[Predicate] | type[Filter]]] = [*PREDICATES.items(), *FILTERS.items()]


@pytest.mark.parametrize(("name", "component"), COMPONENTS)
def test_every_component_is_documented_with_all_its_arguments(
    name: str, component: type[Predicate] | type[Filter]
) -> None:
    text = section(name)
    missing = [argument for argument in hints_of(component) if f"`{camel(argument)}`" not in text]
    assert missing == []


@pytest.mark.parametrize(("name", "component"), COMPONENTS)
def test_every_component_is_frozen_and_its_short_form_names_its_own_arguments(
    name: str, component: type[Predicate] | type[Filter]
) -> None:
    assert name == component.__name__
    assert vars(component)["__dataclass_params__"].frozen
    assert set(component.shortcut) <= set(hints_of(component))


@pytest.mark.parametrize("rule", [item.name for item in dataclasses.fields(ParameterRule)])
def test_every_rule_of_a_parameter_is_documented(rule: str) -> None:
    assert f"`{camel(rule)}`" in section("Sanitize")


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_documented_with_its_demands(name: str) -> None:
    row = next(line for line in ROUTES.splitlines() if line.startswith(f"| `{name}` |"))
    profile = PROFILES[name]
    for wanted in (*(n for group in profile.must for n in group), *profile.must_not, *profile.defaults):
        assert f"`{wanted.partition('=')[0]}`" in row


def test_filters_that_run_once_are_documented() -> None:
    text = ROUTES.split("## Filters", 1)[1].split("### ", 1)[0]
    assert [name for name in sorted(ONCE_PER_ROUTE) if f"`{name}`" not in text] == []


SOURCES = "".join(
    path.read_text(encoding="utf-8")
    for path in (ROOT / "edge" / "haetae_edge").rglob("*.py")
    if path.name != "gateway.py" or path.parent.name != "config"
)


def settings_of(cls: type) -> list[str]:
    """Names of all settings of a class and of those within it."""
    names = []
    for name, hint in hints_of(cls).items():
        inner = settings_class(hint)[0]
        names += settings_of(inner) if inner is not None else [name]
    return names


#: Read through `LimitSettings.limits()` and `UpstreamPoolSettings.deadlines()`, which copy them by name.
COPIED = {item.name for cls in (Limits, Deadlines) for item in dataclasses.fields(cls)}


@pytest.mark.parametrize("name", sorted(set(settings_of(GatewayConfig)) - COPIED))
def test_every_setting_is_read_by_the_gateway(name: str) -> None:
    assert re.search(rf"\.{name}\b", SOURCES)
