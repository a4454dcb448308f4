"""From the bytes of a gateway's files to one checked configuration. Pure: files and environment are
arguments.

What concerns more than one place is decided here: each id once, filters in the order of their phases, default
filters merged in, the demands of the profile, the revision. All problems of all files are reported together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping as Map
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from haetae_edge.config.binder import Binder
from haetae_edge.config.gateway import GatewayConfig
from haetae_edge.config.nodes import Mapping, Node, Place, Problems
from haetae_edge.config.placeholders import resolve
from haetae_edge.config.routes import NamedFilter, ParsedRoute, RouteReader
from haetae_edge.config.spelling import snake, suggestion
from haetae_edge.config.variables import missing_variables
from haetae_edge.config.yaml import parse_yaml
from haetae_edge.errors import ConfigError
from haetae_edge.filter import Filter, Phase
from haetae_edge.filters.introspect import Introspect
from haetae_edge.filters.registry import FILTERS, ONCE_PER_ROUTE
from haetae_edge.filters.verify_jwt import VerifyJwt
from haetae_edge.predicate import Predicate
from haetae_edge.predicates.registry import PREDICATES
from haetae_edge.profiles import PROFILES, Profile
from haetae_edge.route import RouteDefinition

GATEWAY_FILE: Final = "gateway.yaml"
MAX_ROUTES: Final = 10_000


def compile_gateway(
    files: Map[str, bytes],
    *,
    directory: Path,
    environment: Map[str, str],
    predicates: Map[str, type[Predicate]] = PREDICATES,
    filters: Map[str, type[Filter]] = FILTERS,
    profiles: Map[str, Profile] = PROFILES,
) -> GatewayConfig:
    """The configuration of one gateway.

    `files` maps names relative to `directory` (`gateway.yaml`, `routes/bank.yaml`) to their bytes. Raises
    ConfigError with every problem found.
    """
    problems = Problems()
    trees = {name: _tree(name, files[name], directory, environment, problems) for name in sorted(files)}
    reader = RouteReader(problems, predicates=predicates, filters=filters)
    config, defaults = _read_gateway(trees.pop(GATEWAY_FILE, None), reader, directory, problems)
    routes: list[ParsedRoute] = []
    for tree in trees.values():
        if tree is not None:
            parsed = reader.read_file(tree)
            routes += parsed.routes
            defaults += parsed.default_filters
    _check_ids(routes, problems)
    _check_order(defaults, "`default-filters`", problems)
    profile = _profile(config, profiles, directory, problems)
    merged = _Merger(reader, tuple(defaults), profile, problems)
    definitions = tuple(merged.definition(route) for route in routes if route.head.enabled)
    _check_issuers(config, definitions, problems)
    problems.raise_any()
    if config is None:
        raise AssertionError("a gateway that could not be read has a problem")
    return replace(
        config,
        **_located(config, directory),
        default_filters=tuple(value for _, value, _ in defaults),
        routes=definitions,
        revision=revision_of(files),
    )


def _located(config: GatewayConfig, directory: Path) -> dict[str, Any]:
    """Every path of the settings, taken from the gateway's directory where it is relative."""
    log, upstream = config.access_log, config.upstream
    if log.path is not None:
        log = replace(log, path=directory / log.path)
    if upstream.ca_file is not None:
        upstream = replace(upstream, ca_file=directory / upstream.ca_file)
    located: dict[str, Any] = {"keys_directory": directory / config.keys_directory, "access_log": log}
    located["upstream"] = upstream
    if config.events.networks_file is not None:
        located["events"] = replace(config.events, networks_file=directory / config.events.networks_file)
    if config.tls is not None:
        located["tls"] = config.tls.located(directory)
    if config.oidc is not None and config.oidc.client_key is not None:
        located["oidc"] = replace(config.oidc, client_key=directory / config.oidc.client_key)
    return located


def revision_of(files: Map[str, bytes]) -> str:
    """SHA-256 over names and bytes of all files, in hexadecimal; independent of where they lie."""
    digest = hashlib.sha256()
    for name in sorted(files):
        encoded = name.encode("utf-8")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
        digest.update(len(files[name]).to_bytes(8, "big") + files[name])
    return digest.hexdigest()


def _tree(name: str, data: bytes, directory: Path, environment: Map[str, str], problems: Problems) -> Node | None:
    try:
        tree = parse_yaml(data, file=(directory / name).as_posix())
    except ConfigError as error:
        problems.extend(error.problems)
        return None
    return resolve(tree, environment, problems)


def _read_gateway(
    tree: Node | None, reader: RouteReader, directory: Path, problems: Problems
) -> tuple[GatewayConfig | None, list[NamedFilter]]:
    if tree is None:
        if not len(problems):
            place = Place((directory / GATEWAY_FILE).as_posix(), 1)
            problems.add(place, "this file is missing: a gateway has `name:` and `profile:` in it")
        return None, []
    defaults: list[NamedFilter] = []
    if isinstance(tree, Mapping):
        for key, value in tree.entries:
            if snake(key.text) == "default_filters":
                defaults += reader.read_filters(value)
        rest = tuple(entry for entry in tree.entries if snake(entry[0].text) != "default_filters")
        tree = Mapping(rest, tree.place)
    return Binder(problems).bind(GatewayConfig, tree, what="the gateway"), defaults


def _check_ids(routes: list[ParsedRoute], problems: Problems) -> None:
    seen: dict[str, Place] = {}
    for route in routes:
        first = seen.setdefault(route.head.id, route.place)
        if first is not route.place:
            where = f"{first.file}:{first.line}"
            problems.add(route.place, f"route `{route.head.id}` is already defined in {where}: give it another id")
    if len(routes) > MAX_ROUTES:
        problems.add(routes[-1].place, f"there are {len(routes)} routes; a gateway has at most {MAX_ROUTES}")


def _check_issuers(config: GatewayConfig | None, routes: tuple[RouteDefinition, ...], problems: Problems) -> None:
    """Subjects of two issuers are two sets of names: a route says whose it means."""
    known = [item.issuer for item in config.issuers] if config is not None else []
    asked = [item.name for item in config.introspection] if config is not None else []
    for route in routes:
        for item in route.filters:
            if isinstance(item, Introspect):
                if item.provider is None and len(asked) > 1:
                    message = (
                        f"route `{route.id}`: there are several `introspection`s: write `provider` in `Introspect`"
                    )
                    problems.add(Place(route.file, route.line), message)
                elif item.provider is not None and item.provider not in asked:
                    message = f"route `{route.id}`: `Introspect` names a provider that gateway.yaml does not list"
                    problems.add(Place(route.file, route.line), message)
            if not isinstance(item, VerifyJwt):
                continue
            place = Place(route.file, route.line)
            if item.issuer is None and len(known) > 1:
                problems.add(place, f"route `{route.id}`: there are several issuers: write `issuer` in `VerifyJwt`")
            elif item.issuer is not None and item.issuer not in known:
                problems.add(place, f"route `{route.id}`: `VerifyJwt` names an issuer that gateway.yaml does not list")


def _profile(
    config: GatewayConfig | None, profiles: Map[str, Profile], directory: Path, problems: Problems
) -> Profile | None:
    if config is None:
        return None
    profile = profiles.get(config.profile)
    if profile is None:
        known = ", ".join(profiles)
        message = f"there is no profile `{config.profile}`{suggestion(config.profile, profiles)} (known: {known})"
        problems.add(Place((directory / GATEWAY_FILE).as_posix(), 1), message)
    return profile


def _check_order(filters: list[NamedFilter] | tuple[NamedFilter, ...], whose: str, problems: Problems) -> None:
    """Filters are listed in the order of their phases. Response filters may stand anywhere: they run on the
    answer."""
    listed = [entry for entry in filters if entry[1].phase is not Phase.RESPONSE]
    for (name, before, _), (other, after, place) in pairwise(listed):
        if after.phase < before.phase:
            message = (
                f"in {whose} `{other}` ({_words(after.phase)}) comes after `{name}` ({_words(before.phase)}), "
                f"but runs before it: move `{other}` above `{name}`"
            )
            problems.add(place, message)
    seen: dict[str, Place] = {}
    for name, _, place in filters:
        if name in ONCE_PER_ROUTE and name in seen:
            problems.add(place, f"in {whose} `{name}` is already listed in line {seen[name].line}: keep one")
        seen.setdefault(name, place)


def _words(phase: Phase) -> str:
    return phase.name.lower().replace("_", " ")


class _Merger:
    """Makes route definitions: own filters, default filters and the profile's, in running order."""

    def __init__(
        self,
        reader: RouteReader,
        defaults: tuple[NamedFilter, ...],
        profile: Profile | None,
        problems: Problems,
    ) -> None:
        self._reader = reader
        self._defaults = defaults
        self._profile = profile
        self._problems = problems

    def definition(self, route: ParsedRoute) -> RouteDefinition:
        head = route.head
        _check_order(route.filters, f"route `{head.id}`", self._problems)
        filters = self._merge(route)
        self._check_profile(route, {name: value for name, value, _ in filters})
        self._check_variables(route, filters)
        return RouteDefinition(
            id=head.id,
            uri=head.uri,
            order=head.order,
            predicates=route.predicates,
            filters=tuple(value for _, value, _ in filters),
            metadata=head.metadata,
            file=route.place.file,
            line=route.place.line,
        )

    def _merge(self, route: ParsedRoute) -> list[NamedFilter]:
        own = {name for name, _, _ in route.filters}
        defaults = [entry for entry in self._defaults if not (entry[0] in ONCE_PER_ROUTE and entry[0] in own)]
        present = own | {name for name, _, _ in defaults}
        first: list[NamedFilter] = []
        for text in self._profile.defaults if self._profile else ():
            if text.partition("=")[0] not in present:
                found = self._reader.read_filter(text, route.place)
                first += [found] if found is not None else []
        metadata = [("Timeout", route.timeout, route.place)] if route.timeout is not None else []
        merged: list[NamedFilter] = [*first, *defaults, *metadata, *route.filters]
        return sorted(merged, key=lambda entry: entry[1].phase)

    def _check_variables(self, route: ParsedRoute, filters: list[NamedFilter]) -> None:
        for name, value, place in filters:
            missing = sorted(missing_variables(value, route.predicates))
            if missing:
                self._problems.add(
                    place,
                    f"`{name}` on route `{route.head.id}` uses `{{{missing[0]}}}`, which its predicates do not always "
                    f"set: capture it in every pattern, as in `Path=/{{{missing[0]}}}/**`",
                )

    def _check_profile(self, route: ParsedRoute, filters: Map[str, Filter]) -> None:
        profile = self._profile
        if profile is None:
            return
        for group in profile.must:
            if filters.keys().isdisjoint(group):
                wanted = " or ".join(f"`{name}`" for name in group)
                self._problems.add(
                    route.place,
                    f"route `{route.head.id}` needs {wanted}, as profile `{profile.name}` demands: "
                    "add it to the route's filters or to `default-filters`",
                )
        for name in profile.must_not:
            if name in filters:
                message = f"route `{route.head.id}` may not have `{name}` in profile `{profile.name}`: remove it"
                self._problems.add(route.place, message)
        for check in profile.checks:
            complaint = check(route.predicates, filters)
            if complaint is not None:
                message = f"route `{route.head.id}` {complaint} (profile `{profile.name}`)"
                self._problems.add(route.place, message)
