"""`AddRequestHeader=X-Tenant, blue-{segment}`: adds a field to what the upstream is sent, beside any it already has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haetae_edge.config.header_fields import compile_value, request_field, variables_in
from haetae_edge.config.values import HeaderName, HeaderValue
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase, Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRequestHeader:
    """`name`, `value`; `{segment}` in the value is a URI variable of the route's `Path` or `Host`."""

    phase: ClassVar[Phase] = Phase.INJECT
    shortcut: ClassVar[tuple[str, ...]] = ("name", "value")

    name: HeaderName
    value: HeaderValue

    def __post_init__(self) -> None:
        request_field(self.name)
        compile_value(self.value)

    @property
    def uses(self) -> frozenset[str]:
        """The URI variables in the value."""
        return variables_in(self.value)

    def build(self, context: BuildContext) -> Steps:
        """One step. A variable that no header may hold refuses the request (`input-invalid`)."""
        name = request_field(self.name)
        expand = compile_value(self.value)

        def step(exchange: Exchange) -> None:
            value = expand(exchange.variables)
            if value is None:
                raise Refusal("input-invalid", reason="variable-not-a-header-value")
            exchange.fields.append((name, value))

        return Steps(request=((Phase.INJECT, step),))
