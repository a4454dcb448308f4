"""`RemoveRequestHeader=X-Internal`: the upstream does not see this field, in any spelling of `-` and `_`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from haetae_edge.config.header_fields import removable_field
from haetae_edge.config.values import HeaderName
from haetae_edge.filter import BuildContext, Phase, Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRequestHeader:
    """`name`: in any letter case."""

    phase: ClassVar[Phase] = Phase.INJECT
    shortcut: ClassVar[tuple[str, ...]] = ("name",)

    name: HeaderName

    def __post_init__(self) -> None:
        removable_field(self.name)

    def build(self, context: BuildContext) -> Steps:
        """One step."""
        name = removable_field(self.name).replace(b"_", b"-")
        return Steps(request=((Phase.INJECT, lambda exchange: exchange.remove_field(name)),))
