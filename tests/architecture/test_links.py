"""Links to a heading lead to one that is there; that files are there is for `test_layout`."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "keys/*.md", "bench/*.md", "deploy/**/*.md")
    for path in ROOT.glob(pattern)
)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them: lower case, spaces to hyphens, other marks left out."""
    text = _FENCE.sub("", page.read_text())
    found = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower() for heading in _HEADING.findall(text))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_heading_finds_it(page: str) -> None:
    here = ROOT / page
    dead = []
    for target in _LINK.findall(_FENCE.sub("", here.read_text())):
        name, _, anchor = target.partition("#")
        there = here.parent / name if name else here
        if anchor and ":" not in name and there.suffix == ".md" and there.exists() and anchor not in anchors(there):
            dead.append(target)
    assert dead == []
