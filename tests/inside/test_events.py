"""The event file: one strict JSON object a line, none longer than 64 KiB."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix.inside.events import (
    ID_LIMIT,
    LINE_LIMIT,
    EventFile,
    EventReader,
    clip,
    encode,
    first_line,
    short_id,
)

# `st.text()` alone has no lone surrogates
TEXT = st.text(st.characters(), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def refuse_constant(name: str) -> None:
    pytest.fail(f"{name} is no JSON")


@given(st.dictionaries(TEXT, VALUES, max_size=4))
@example({"nan": float("nan"), "infinite": [float("inf"), -float("inf")]})
@example({"\ud800": "\udfff", "lines": "a\nb\r\u2028c\x00"})
@example({"nested": {"a": [{"b": [[[{}]]]}]}, "large": 10**400})
def test_any_event_is_one_strict_line(event: dict[str, object]) -> None:
    """NaN, infinities, lone surrogates and line breaks included."""
    line = encode(event)

    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert isinstance(json.loads(line, parse_constant=refuse_constant), dict)


@pytest.mark.parametrize("text", ["x" * 10**6, "é\n" * 10**5, "\x00" * 10**5, "🔥" * 10**5])
def test_long_texts_are_cut_until_the_line_fits(text: str) -> None:
    """Escapes count: a line is measured as it is written."""
    line = encode({"event": "outcome", "id": "a", "error": {"message": text, "traceback": text}})

    assert len(line) <= LINE_LIMIT
    assert json.loads(line)["id"] == "a"
    assert "characters cut" in json.loads(line)["error"]["message"]


def test_numbers_that_json_lacks_become_null() -> None:
    assert json.loads(encode({"error": math.nan, "tolerance": math.inf, "seed": 3})) == {
        "error": None,
        "tolerance": None,
        "seed": 3,
    }


def test_clip_keeps_both_ends() -> None:
    assert clip("a" * 50 + "z" * 50, 30) == ("a" * 20 + " [... 70 characters cut ...] " + "z" * 10)
    assert clip("short", 30) == "short"


def test_first_line_skips_blank_ones() -> None:
    assert first_line("\n  \n  what happened  \nand more") == "what happened"
    assert first_line("") == ""


def test_a_long_id_stays_distinct() -> None:
    """Two ids that differ at their end only are still two tests."""
    one, two = (short_id("test_x.py::test[" + "a" * 5000 + end) for end in ("1]", "2]"))

    assert one != two
    assert len(one) <= ID_LIMIT
    assert short_id("test_x.py::test") == "test_x.py::test"


def test_the_reader_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    """What a writer is in the middle of is read when it is whole."""
    path = tmp_path / "events"
    reader = EventReader(str(path))
    assert reader.read() == []

    EventFile(str(path)).write({"event": "a"})
    with path.open("ab") as file:
        file.write(b'{"event":')

    assert reader.read() == [{"event": "a"}]
    with path.open("ab") as file:
        file.write(b' "b"}\n[3]\nnonsense\n')
    assert reader.read() == [{"event": "b"}]


def test_half_a_line_of_a_killed_writer_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b'{"event":"sta')
    reader = EventReader(str(path))

    reader.heal()
    EventFile(str(path)).write({"event": "a"})

    assert reader.read() == [{"event": "a"}]
