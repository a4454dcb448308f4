"""`AddResponseHeader=X-Served-By, gateway`: adds a field to the answer.

With `override: false` only where the upstream sent no such field, or only blank ones. A value whose variable cannot
stand in a header leaves the field out: the answer is already there and worth more than the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haetae_edge.config.header_fields import compile_value, response_field, variables_in
from haetae_edge.config.values import HeaderName, HeaderValue
from haetae_edge.exchange import Exchange, Response
from haetae_edge.filter import BuildContext, Phase, Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class AddResponseHeader:
    """`name`, `value` (may hold URI variables), `override` (as Spring names it: add although one is there)."""

    phase: ClassVar[Phase] = Phase.RESPONSE
    shortcut: ClassVar[tuple[str, ...]] = ("name", "value", "override")

    name: HeaderName
    value: HeaderValue
    override: bool = True

    def __post_init__(self) -> None:
        response_field(self.name)
        compile_value(self.value)

    @property
    def uses(self) -> frozenset[str]:
        """The URI variables in the value."""
        return variables_in(self.value)

    def build(self, context: BuildContext) -> Steps:
        """One step on the answer."""
        name = response_field(self.name)
        expand = compile_value(self.value)
        always = self.override

        def step(exchange: Exchange, response: Response) -> None:
            value = expand(exchange.variables)
            if value is None:
                return
            if always or not any(field == name and text.strip() for field, text in response.fields):
                response.fields.append((name, value))

        return Steps(response=step)
