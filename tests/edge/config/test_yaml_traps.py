"""YAML from people and attackers: what is read, and the line and advice for everything that is not."""

from __future__ import annotations

import pytest
from haetae_edge.config.nodes import Mapping, Node, Scalar, Sequence
from haetae_edge.config.yaml import MAX_BYTES, MAX_DEPTH, MAX_NODES, parse_yaml
from haetae_edge.errors import ConfigError
from hypothesis import example, given
from hypothesis import strategies as st


def problem_of(data: bytes) -> tuple[int, str]:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(data, file="f.yaml")
    (problem,) = caught.value.problems
    assert problem.file == "f.yaml"
    return problem.line, problem.message


def scalar(node: Node | None) -> Scalar:
    assert isinstance(node, Scalar)
    return node


@pytest.mark.parametrize("text", ["no", "1:30", "2024-01-01", "0o17", "1_000", ".inf", "yes", "0x1F", "12e3"])
def test_plain_words_stay_text_until_a_field_asks_for_another_type(text: str) -> None:
    tree = parse_yaml(f"key: {text}\n".encode(), file="f.yaml")
    assert isinstance(tree, Mapping)
    assert scalar(tree.get("key")).text == text


def test_every_key_and_value_knows_its_line() -> None:
    tree = parse_yaml(b"# head\na: 1\nb:\n  - x\n  - {c: y}\n", file="f.yaml")
    assert isinstance(tree, Mapping)
    assert [(key.text, key.place.line) for key, _ in tree.entries] == [("a", 2), ("b", 3)]
    items = tree.get("b")
    assert isinstance(items, Sequence)
    assert [item.place.line for item in items.items] == [4, 5]


@pytest.mark.parametrize("text", [b"", b"# only a comment\n", b"---\n", b"null\n"])
def test_a_file_without_content_is_an_empty_mapping(text: bytes) -> None:
    tree = parse_yaml(text, file="f.yaml")
    assert isinstance(tree, Mapping)
    assert tree.entries == ()


def test_only_unquoted_nothing_is_nothing() -> None:
    tree = parse_yaml(b"a:\nb: ''\nc: ~\nd: \"null\"\n", file="f.yaml")
    assert isinstance(tree, Mapping)
    assert [scalar(value).is_null for _, value in tree.entries] == [True, False, True, False]


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"a: &x 1\nb: 2\n", 1, "anchors"),
        (b"a: 1\nb: *x\n", 2, "write the value out"),
        (b"a: [&a [x], *a, *a]\n", 1, "anchors"),
        (b"a: 1\nb: 2\na: 3\n", 3, "already given in line 1"),
        (b"x:\n  a: 1\n  a: 2\n", 3, "already given in line 2"),
        (b"a: 1\n<<: {b: 2}\n", 2, "merge keys"),
        (b"a: !!python/object:os.system x\n", 1, "tags"),
        (b"a: !!str x\n", 1, "tags"),
        (b"a: !local x\n", 1, "tags"),
        (b"%YAML 1.1\n---\na: 1\n", 1, "directives"),
        (b"a: 1\n---\nb: 2\n", 2, "second document"),
        (b"a:\n\tb: 1\n", 2, "indent with spaces"),
        (b"\ta: 1\n", 1, "indent with spaces"),
        (b"\xef\xbb\xbfa: 1\n", 1, "without BOM"),
        (b"a: 1\nb: \xff\n", 2, "UTF-8"),
        ("a: 1\n".encode("utf-16"), 1, "UTF-8"),
        (b"a: 1\nb: \x07\n", 2, "control character"),
        (b"a: 1\nb: [1, 2\nc: 3\n", 3, "not YAML"),
        (b"a: b: c\n", 1, "not YAML"),
        (b"? [a, b]\n: c\n", 1, "cannot be a key"),
        (b'a: 1\n"": 2\n', 2, "key is missing"),
        (b"a: 1\n: 2\n", 2, "not YAML"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), 1, "deep"),
        (b"a:\n" + b"- x\n" * MAX_NODES, MAX_NODES - 1, "values"),
        (b"a: " + b"x" * MAX_BYTES, 1, "bytes"),
    ],
)
def test_each_trap_is_refused_at_its_line_with_what_to_write(data: bytes, line: int, words: str) -> None:
    found, message = problem_of(data)
    assert found == line
    assert words in message


def test_a_billion_laughs_stops_at_the_first_anchor() -> None:
    laughs = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    laughs += [
        f"{name}: &{name} [{', '.join(['*' + before] * 9)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    assert problem_of("\n".join(laughs).encode())[0] == 1


def test_a_message_never_carries_control_characters_of_the_file() -> None:
    message = problem_of(b'"\\e[31mred": 1\n"\\e[31mred": 2\n')[1]
    assert message.isprintable()


def outcome(data: bytes) -> Node | ConfigError:
    try:
        return parse_yaml(data, file="f.yaml")
    except ConfigError as error:
        return error


@given(st.binary(max_size=300))
@example(b"a: \xc2\x85b: 1")
@example(b"\xe2\x80\xa8- x")
@example(b"!<" + b"x" * 50)
def test_any_bytes_are_a_tree_or_one_problem_with_a_line(data: bytes) -> None:
    result = outcome(data)
    if isinstance(result, ConfigError):
        assert [problem.line >= 1 for problem in result.problems] == [True]
    else:
        assert result.place.line >= 1


@given(st.text(alphabet="ab:-[]{}#&*!|>'\"%@ \n\t,?~<", max_size=80))
def test_any_yaml_like_text_is_a_tree_or_one_problem(text: str) -> None:
    result = outcome(text.encode())
    assert not isinstance(result, ConfigError) or len(result.problems) == 1
