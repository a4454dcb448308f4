"""Predicates and filters as route files write them: `Name=a,b` or `name:` with `args:`.

The short form follows Spring: arguments split at every comma, spaces around them dropped, empty ones left
out; a list argument takes all that remain, and a last `true` or `false` goes to the flag after it. Which
names exist and what their arguments are comes from a registry of dataclasses.
"""

from __future__ import annotations

from collections.abc import Mapping as Map
from typing import Generic, TypeVar, get_origin

from haetae_edge.config.binder import Binder, hints_of
from haetae_edge.config.nodes import Mapping, Node, Place, Problems, Scalar, Sequence, describe, shorten
from haetae_edge.config.spelling import camel, suggestion

C = TypeVar("C")


class Components(Generic[C]):
    """Reads lists of one sort of component (`sort` is "predicate" or "filter")."""

    def __init__(self, sort: str, registry: Map[str, type[C]], problems: Problems) -> None:
        self._sort = sort
        self._registry = registry
        self._problems = problems
        self._binder = Binder(problems, spell=camel)

    def read_list(self, node: Node) -> list[tuple[str, C, Place]]:
        """Name, value and place of each entry that could be read."""
        if isinstance(node, Scalar) and node.is_null:
            return []
        if not isinstance(node, Sequence):
            self._problems.add(node.place, f"{self._sort}s are a list: start each with `- `, not {describe(node)}")
            return []
        found = []
        for item in node.items:
            read = self.read(item)
            if read is not None:
                found.append((*read, item.place))
        return found

    def read(self, node: Node) -> tuple[str, C] | None:
        """One entry; None when there were problems."""
        if isinstance(node, Scalar):
            return self._short(node)
        if isinstance(node, Mapping):
            return self._full(node)
        self._problems.add(node.place, f"a {self._sort} is `Name=arguments` or `name:` with `args:`, not a list")
        return None

    def _class(self, name: str, place: Place) -> type[C] | None:
        cls = self._registry.get(name)
        if cls is None:
            near = suggestion(name, self._registry)
            known = ", ".join(sorted(self._registry))
            self._problems.add(place, f"there is no {self._sort} `{shorten(name)}`{near} (known: {known})")
        return cls

    def _short(self, node: Scalar) -> tuple[str, C] | None:
        if node.broken:
            return None
        name, _, text = node.text.partition("=")
        name = name.strip()
        cls = self._class(name, node.place)
        if cls is None:
            return None
        tokens = [token.strip() for token in text.split(",")]
        return self._build(name, cls, [token for token in tokens if token], node)

    def _build(self, name: str, cls: type[C], tokens: list[str], node: Scalar) -> tuple[str, C] | None:
        given = self._assign(name, cls, tokens, node)
        if given is None:
            return None
        value = self._binder.bind_fields(cls, given, place=node.place, what=f"{self._sort} `{name}`")
        return None if value is None else (name, value)

    def _assign(
        self, name: str, cls: type[C], tokens: list[str], node: Scalar
    ) -> dict[str, tuple[Scalar, Node]] | None:
        """Field name to key and value, for the tokens of a short form."""
        order: tuple[str, ...] = cls.shortcut  # type: ignore[attr-defined]
        hints = hints_of(cls)  # type: ignore[arg-type]
        given: dict[str, tuple[Scalar, Node]] = {}
        rest = list(tokens)
        for at, argument in enumerate(order):
            if not rest:
                break
            if _is_list(hints[argument]):
                flags = [follower for follower in order[at + 1 :] if hints[follower] is bool]
                if flags and len(rest) > 1 and rest[-1] in ("true", "false"):
                    given[flags[0]] = (node, _scalar(rest.pop(), node))
                given[argument] = (node, Sequence(tuple(_scalar(token, node) for token in rest), node.place))
                rest = []
            else:
                given[argument] = (node, _scalar(rest.pop(0), node))
        if rest:
            takes = ", ".join(camel(argument) for argument in order) or "none"
            self._problems.add(
                node.place,
                f"{self._sort} `{name}` takes fewer arguments in its short form ({takes}); a value with a comma in it "
                "needs the full form (`name:` with `args:`)",
            )
            return None
        return given

    def _full(self, node: Mapping) -> tuple[str, C] | None:
        fields = {key.text: (key, value) for key, value in node.entries}
        for text, (key, _) in fields.items():
            if text not in ("name", "args"):
                message = f"`{shorten(text)}` does not belong here: a {self._sort} has `name` and `args`"
                self._problems.add(key.place, message)
                return None
        name_node = fields["name"][1] if "name" in fields else None
        if not isinstance(name_node, Scalar) or name_node.is_null:
            self._problems.add(node.place, f"this {self._sort} has no name: write `name: …` and `args:`")
            return None
        cls = self._class(name_node.text, name_node.place)
        if cls is None:
            return None
        args = fields["args"][1] if "args" in fields else Mapping((), node.place)
        if isinstance(args, Mapping) and args.entries and all(k.text.startswith("_genkey_") for k, _ in args.entries):
            values = [value for _, value in args.entries]
            if all(isinstance(value, Scalar) for value in values):
                tokens = [value.text for value in values if isinstance(value, Scalar)]
                return self._build(name_node.text, cls, tokens, name_node)
        what = f"{self._sort} `{name_node.text}`"
        if isinstance(args, Mapping) and not args.entries:
            args = Mapping((), node.place)
        value = self._binder.bind(cls, args, what=what)
        return None if value is None else (name_node.text, value)


def _is_list(hint: object) -> bool:
    return get_origin(hint) is tuple


def _scalar(text: str, node: Scalar) -> Scalar:
    return Scalar(text=text, plain=False, place=node.place, written=text if text in node.written else node.written)
