"""The evaluation protocol: decisions in force on events with ground truth, and what came of it."""

from haetae_fds.evaluation.addresses import AddressBuckets
from haetae_fds.evaluation.errors import LabelsInvalid
from haetae_fds.evaluation.gate import DEFAULT_DELAY_MS, Gate, Rule, acts
from haetae_fds.evaluation.labels import Label, read_label, read_labels
from haetae_fds.evaluation.loop import ClosedLoop, Detector
from haetae_fds.evaluation.protocol import Devices, Report, evaluate, report
from haetae_fds.evaluation.scope import Recorded, Scope, scopes
from haetae_fds.evaluation.score import AttackResult, PeopleResult, PolicyResult, Scoreboard
from haetae_fds.evaluation.summary import Summary, summary

__all__ = [
    "DEFAULT_DELAY_MS",
    "AddressBuckets",
    "AttackResult",
    "ClosedLoop",
    "Detector",
    "Devices",
    "Gate",
    "Label",
    "LabelsInvalid",
    "PeopleResult",
    "PolicyResult",
    "Recorded",
    "Report",
    "Rule",
    "Scope",
    "Scoreboard",
    "Summary",
    "acts",
    "evaluate",
    "read_label",
    "read_labels",
    "report",
    "scopes",
    "summary",
]
