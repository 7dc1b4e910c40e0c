"""What a YAML text means, where its values stand, and that no text does harm."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.language.document import MAX_NODES, parse_yaml, read_text
from studies.language.problems import Problems, StudyError
from studies.language.scalars import resolve


def parse(text):
    """The plain data of a text that must be right."""
    problems = Problems()
    node = parse_yaml(text, "f.yaml", problems)
    assert problems.found == []
    return node.plain()


def problem(text):
    """The one problem of a text."""
    problems = Problems()
    parse_yaml(text, "f.yaml", problems)
    assert len(problems.found) == 1, problems.found
    return str(problems.found[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("3.", 3.0),
        ("0", 0),
        ("-12", -12),
        ("0o17", 15),
        ("0xff", 255),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("off", "off"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("12:30:00", "12:30:00"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("=", "="),
    ],
)
def test_a_plain_scalar_means_what_yaml_1_2_says(text, value):
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize("text", ["010", "-007", ".inf", "-.inf", ".nan", "1e999", "9" * 5000])
def test_an_ambiguous_or_endless_number_is_refused(text):
    with pytest.raises(ValueError):
        resolve(text)


def test_the_message_about_a_leading_zero_says_what_to_write():
    assert problem("a: 010") == (
        "f.yaml:1:4: a: 010 is octal in YAML 1.1 and decimal in 1.2: write 10, or quote it to mean the text"
    )


@pytest.mark.parametrize("text", [".nan", "-.inf", "1e999"])
def test_a_number_that_is_not_finite_is_not_advised_to_be_quoted(text):
    assert problem(f"a: {text}") == f"f.yaml:1:4: a: {text} is not finite: write a number that is"


def test_quotes_make_a_text_of_anything():
    assert parse("a: '010'\nb: \"1e-4\"\nc: 'true'") == {"a": "010", "b": "1e-4", "c": "true"}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_as_itself(number):
    assert resolve(repr(number)) == number


@given(st.integers(-(10**20), 10**20))
def test_every_integer_is_read_as_itself(number):
    assert resolve(str(number)) == number


def test_values_and_keys_know_their_place():
    node = parse_yaml("a:\n  b: 1\n  c: [x, y]\n", "f.yaml", Problems())
    inner = node.value["a"]
    assert str(inner.keys["c"]) == "f.yaml:3:3"
    assert str(inner.value["c"].value[1].mark) == "f.yaml:3:10"


def test_a_duplicate_key_is_refused_with_both_places():
    assert problem("a: 1\nb:\n  c: 1\n  c: 2\n") == "f.yaml:4:3: b.c: duplicate key; the first is in line 3"


def test_merge_keys_yield_to_what_is_written():
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], c: 5}\n"
    assert parse(text)["z"] == {"a": 1, "b": 2, "c": 5}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        ("a: [", "not YAML"),
        ("a: b: c", "not YAML"),
        ("a: 1\n---\nb: 2", "a second YAML document begins here: one study a file"),
        ("a: *", 'a text that starts with a star is quoted: "*"'),
        ("a: [*, b]", 'a text that starts with a star is quoted: "*"'),
        ("a: *b", 'a text that starts with a star is quoted: "*"'),
        ("a:\n  b:\n\t- c", "a tab: use spaces"),
        ("a: !!python/object:os.system x", "means nothing here"),
        ("a: !!int x", "is not int"),
        ("? [a]\n: 3", "a key must be a name"),
        ("~: 2", "a key without a name"),
        ("a: &a [*a]", "an alias inside the very value"),
        ("a: {<<: 3}", "a merge key (<<) takes a mapping"),
        ("[" * 50_000, "nested too deeply"),
        ('a: "\\UFFFFFFFF"', "not YAML"),
        ("a: \x07", "not YAML"),
        ("\ta: 1", "not YAML"),
    ],
)
def test_a_wrong_text_is_one_problem_with_its_place(text, what):
    assert what in problem(text)
    assert problem(text).startswith("f.yaml:1:") or "document" in what or "tab" in what


def test_an_alias_bomb_is_counted_not_built():
    text = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 60)
    )
    start = time.perf_counter()
    assert f"more than {MAX_NODES:,}" in problem(text)
    assert time.perf_counter() - start < 2


@given(st.text())
def test_no_text_raises(text):
    parse_yaml(text, "f.yaml", Problems())


@given(st.text(alphabet="ab:[]{}&*!<>-#'\"|?,% \n\t0.\\U"))
def test_no_text_of_yaml_signs_raises(text):
    parse_yaml(text, "f.yaml", Problems())


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x00\x01", "a binary file"),
        (b"name: a\nb: \xff", "f.yaml:2:1: not UTF-8"),
        (b"x" * 2_000_001, "larger than 2 MB"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, content, what):
    (tmp_path / "f.yaml").write_bytes(content)
    with pytest.raises(StudyError, match=what):
        read_text(tmp_path / "f.yaml")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(StudyError, match="cannot be read"):
            read_text(path)


def test_a_byte_order_mark_is_ignored(tmp_path):
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbfname: a")
    assert read_text(tmp_path / "f.yaml") == "name: a"
