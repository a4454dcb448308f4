"""Spike alerts: routes whose errors rise, or whose traffic stops, are told to people. Nothing here ever blocks."""

from haetae_fds.alerts.spikes import Alert, SpikeDetector, Window
from haetae_fds.alerts.windows import WindowCounter

__all__ = ["Alert", "SpikeDetector", "Window", "WindowCounter"]
