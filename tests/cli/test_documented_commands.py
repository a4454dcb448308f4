"""Every `haetae` command that the documentation shows is one the command line takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from haetae_cli.main import COMMANDS, _parser

ROOT = Path(__file__).parents[2]
PAGES = [path for pattern in ("*.md", "docs/**/*.md", "keys/*.md", "deploy/**/*.md") for path in ROOT.glob(pattern)]
#: What stands for a value that the reader fills in, where a number or a word of a list is asked for.
VALUES = {"N": "5", "PORT": "7000", "…": "5"}
_SPAN = re.compile(r"`(haetae [^`\n]+)`")
_LINE = re.compile(r"^\s*(?:\$ )?(?:uv run )?(haetae .+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```.*?^```|(?:^ {4}.*\n)+", re.MULTILINE | re.DOTALL)


def shown_in(text: str) -> Iterator[str]:
    for block in _BLOCK.findall(text):
        yield from _LINE.findall(block.replace("\\\n", " "))
    yield from _SPAN.findall(text)


def words_of(command: str) -> list[str]:
    """The words to hand over: optional parts too, of alternatives the first; no redirections and comments."""
    bare = re.split(r"\s(?:[<>|&#]|2>)", command, maxsplit=1)[0].replace("[", "").replace("]", "")
    words = shlex.split(bare)[1:]
    return [VALUES.get(word, word.partition("|")[0]) for word in words]


COMMANDS_SHOWN = sorted({(path.name, command) for path in PAGES for command in shown_in(path.read_text())})


def test_documentation_shows_most_commands() -> None:
    named = {words[0] for _, command in COMMANDS_SHOWN if (words := words_of(command))}
    assert len(named & COMMANDS.keys()) > 8


@pytest.mark.parametrize(("page", "command"), COMMANDS_SHOWN)
def test_command_in_the_documentation_is_one_that_exists(
    page: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_of(command)
    try:
        _parser(words).parse_args(words)
    except SystemExit:
        # Prose may name a command and leave its arguments out.
        assert "arguments are required" in capsys.readouterr().err, page
