"""The shape of the repository: where things are, how large they may grow, what may never be in git."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.pins import installed

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "crypto": "haetae_crypto",
    "passport": "haetae_passport",
    "oidc": "haetae_oidc",
    "fds": "haetae_fds",
    "policy-api": "haetae_policy",
    "edge": "haetae_edge",
    "cli": "haetae_cli",
    "demo": "haetae_demo",
}
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60
#: Modules that reach the outside world or a clock: only rims may import them.
OUTSIDE = {"asyncio", "socket", "selectors", "select", "ssl", "subprocess", "threading", "redis", "aiohttp", "uvloop"}
CLOCKS = {"time", "random", "secrets"}


def sources() -> list[Path]:
    return [
        path for directory, package in PACKAGES.items() for path in sorted((ROOT / directory / package).rglob("*.py"))
    ]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    return [name for name in listing.stdout.decode().split("\0") if name]


def is_rim(path: Path) -> bool:
    """Where I/O lives: `io/` folders, the command line, the demo services."""
    parts = path.relative_to(ROOT).parts
    return "io" in parts or parts[0] in ("cli", "demo") or path.name == "__main__.py"


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize(("directory", "package"), PACKAGES.items())
def test_each_directory_is_one_distribution_with_its_package(directory: str, package: str) -> None:
    project = tomllib.loads((ROOT / directory / "pyproject.toml").read_text())
    assert package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert (ROOT / directory / package / "py.typed").exists()


@pytest.mark.parametrize("directory", ["edge", "crypto", "passport", "oidc", "fds", "policy-api", "tests", "keys"])
def test_the_top_level_is_what_the_architecture_names(directory: str) -> None:
    assert (ROOT / directory).is_dir()


def test_every_workspace_member_is_listed_once() -> None:
    root = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert root["tool"]["uv"]["workspace"]["members"] == sorted(PACKAGES)


def test_files_stay_small() -> None:
    grown = {
        relative(path): lines for path in sources() if (lines := len(path.read_text().splitlines())) > MAX_FILE_LINES
    }
    assert grown == {}


def test_functions_stay_small() -> None:
    grown = {
        f"{relative(path)}:{node.lineno} {node.name}": lines
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert grown == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [relative(path) for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_package_init_files_only_re_export() -> None:
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr)
    busy = [
        relative(path)
        for path in sources()
        if path.name == "__init__.py"
        and any(not isinstance(node, allowed) for node in ast.parse(path.read_text()).body)
    ]
    assert busy == []


def test_every_re_exported_name_is_in_all() -> None:
    wrong = {}
    for path in sources():
        if path.name != "__init__.py":
            continue
        tree = ast.parse(path.read_text())
        names = {
            alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        names.discard("annotations")
        listed = {
            element.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
            and isinstance(node.value, ast.List | ast.Tuple)
            for element in node.value.elts
            if isinstance(element, ast.Constant) and isinstance(element.value, str)
        }
        if names != listed:
            wrong[relative(path)] = names ^ listed
    assert wrong == {}


def test_only_rims_touch_sockets_stores_and_processes() -> None:
    reaching = {
        relative(path): found
        for path in sources()
        if not is_rim(path) and (found := OUTSIDE & set(imported(ast.parse(path.read_text()))))
    }
    assert reaching == {}


def test_only_rims_read_clocks_and_draw_random_numbers() -> None:
    reading = {
        relative(path): found
        for path in sources()
        if not is_rim(path) and (found := CLOCKS & set(imported(ast.parse(path.read_text()))))
    }
    assert reading == {}


def test_the_environment_is_read_at_composition_roots_only() -> None:
    reading = [relative(path) for path in sources() if "os.environ" in path.read_text() and not is_rim(path)]
    assert reading == []


def test_nothing_secret_is_tracked() -> None:
    secrets = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|\"d\"\s*:\s*\"[A-Za-z0-9_-]{43}\"")
    found = [
        name
        for name in tracked()
        if not name.startswith("tests/") and (ROOT / name).is_file() and secrets.search((ROOT / name).read_bytes())
    ]
    assert found == []
    assert [name for name in tracked() if name.startswith("keys/")] == ["keys/README.md"]


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{name} → {target}"
        for name in tracked()
        if name.endswith(".md") and (ROOT / name).exists()
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / name).read_text())
        if "://" not in target and not target.startswith("mailto:") and not ((ROOT / name).parent / target).exists()
    ]
    assert broken == []


def test_every_dependency_has_its_reason_written_down() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    missing = set()
    for directory in PACKAGES:
        project = tomllib.loads((ROOT / directory / "pyproject.toml").read_text())
        for requirement in project["project"]["dependencies"]:
            name = re.split(r"[\[<>=!~ ]", requirement)[0]
            if not name.startswith("haetae") and f"`{name}`" not in page:
                missing.add(name)
    assert missing == set()


def test_import_arrows_point_downwards() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_what_is_installed_is_what_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = set(project["tool"]["uv"]["constraint-dependencies"])
    # Tools that somebody has put beside are not ours to judge; what we pin must be the version that is tested.
    names = {pin.partition("==")[0] for pin in pinned}
    differing = {pin for pin in installed() if pin.partition("==")[0] in names} - pinned
    assert differing == set()
