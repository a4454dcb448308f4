"""Every metric the programs show is described in the documentation under the name Prometheus sees, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NAME = re.compile(r"haetae_[a-z0-9_]+")
_PRODUCT = ("crypto", "passport", "oidc", "fds", "policy-api", "edge")
_PACKAGES = {path.name for path in ROOT.glob("*/haetae_*")}
#: What the client library adds to the name of a histogram.
_PARTS = ("_bucket", "_count", "_sum")


def shown_by(module: Path) -> Iterator[str]:
    """The metrics' names as exported: literals handed to what makes a metric, or kept in a table of counters."""
    tree = ast.parse(module.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and (name := metric_name(node.args[0])):
            made = node.func.id if isinstance(node.func, ast.Name) else ""
            counter = made == "CounterMetricFamily" or any(word.arg == "counter" for word in node.keywords)
            assert counter or made in ("Gauge", "LabelledGauge", "GaugeMetricFamily", "HistogramMetricFamily"), name
            yield f"{name}_total" if counter else name
        elif isinstance(node, ast.Tuple) and node.elts and (name := metric_name(node.elts[0])):
            yield f"{name}_total"


def metric_name(node: ast.expr) -> str | None:
    """A literal that can only be a metric's name."""
    text = node.value if isinstance(node, ast.Constant) else None
    return text if isinstance(text, str) and _NAME.fullmatch(text) and text not in _PACKAGES else None


def shown() -> set[str]:
    modules = [path for top in _PRODUCT for path in (ROOT / top).glob("haetae_*/**/*.py")]
    return {name for module in modules for name in shown_by(module)}


def described() -> set[str]:
    """Names in code spans of the documentation; what follows a name's last letter (labels, a condition) apart."""
    spans = [span for page in (ROOT / "docs").glob("*.md") for span in re.findall(r"`([^`\n]+)`", page.read_text())]
    words = {match[1] for span in spans for match in re.finditer(r"(?<![\w./])(haetae_[a-z0-9_]+)(?![\w./])", span)}
    return words - _PACKAGES


def test_every_metric_is_described_under_the_name_prometheus_sees() -> None:
    assert len(shown()) > 30, "the search no longer finds what makes metrics"
    assert sorted(shown() - described()) == []


def test_documentation_names_no_metric_that_nobody_shows() -> None:
    known = shown() | {name + part for name in shown() for part in _PARTS}
    assert sorted(described() - known) == []
