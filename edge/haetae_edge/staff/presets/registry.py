"""The presets routes can name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from haetae_edge.staff.presets.elasticsearch import ELASTICSEARCH
from haetae_edge.staff.presets.generic import GENERIC
from haetae_edge.staff.presets.grafana import GRAFANA
from haetae_edge.staff.presets.kibana import KIBANA
from haetae_edge.staff.presets.model import Preset
from haetae_edge.staff.presets.pinpoint import PINPOINT

PRESETS: Final[Mapping[str, Preset]] = {
    preset.name: preset for preset in (ELASTICSEARCH, GENERIC, GRAFANA, KIBANA, PINPOINT)
}
