"""BuildKit's own report of a build, read without protobuf: live lines, and a step's last words."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.engines.trace import Output, Transcript, Vertex, decode


def number(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(tag, value):
    """One field as protobuf writes it: a number, or bytes with their length."""
    if isinstance(value, int):
        return number(tag << 3) + number(value)
    data = value.encode() if isinstance(value, str) else value
    return number(tag << 3 | 2) + number(len(data)) + data


def message(*fields):
    return b"".join(field(tag, value) for tag, value in fields)


NOW = message((1, 1_795_375_694), (2, 588_295_000))


def aux(*fields):
    return base64.b64encode(message(*fields)).decode()


def vertex(digest="sha256:a", name="[2/2] RUN x", **more):
    tags = {"cached": 4, "started": 5, "completed": 6, "error": 7}
    inputs = ((2, "sha256:i"), (2, "sha256:j"))
    return (1, message((1, digest), *inputs, (3, name), *((tags[k], v) for k, v in more.items())))


def log(text, digest="sha256:a"):
    return (3, message((1, digest), (2, NOW), (3, 1), (4, text)))


def test_steps_and_output_are_decoded_in_order():
    events = list(decode(aux(vertex(started=NOW), log("hello\n"), vertex(cached=1, error="boom"))))
    assert events == [
        Vertex(digest="sha256:a", name="[2/2] RUN x", cached=False, started=True,
               completed=False, error=""),
        Output(vertex="sha256:a", data=b"hello\n"),
        Vertex(digest="sha256:a", name="[2/2] RUN x", cached=True, started=False,
               completed=False, error="boom"),
    ]  # fmt: skip


def test_what_newer_engines_add_is_passed_over():
    """Fixed-width and unknown fields are skipped, not misread."""
    unknown = number(9 << 3 | 1) + b"12345678" + number(10 << 3 | 5) + b"1234"
    data = base64.b64encode(unknown + message(log("x\n"), (12, 7))).decode()
    assert list(decode(data)) == [Output(vertex="sha256:a", data=b"x\n")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param("%%%", "Only base64 data", id="no-base64"),
        pytest.param(base64.b64encode(b"\x0a\x7fx").decode(), "announced", id="cut"),
        pytest.param(base64.b64encode(b"\x0a").decode(), "within a number", id="no-length"),
        pytest.param(base64.b64encode(b"\x0b").decode(), "wire type 3", id="groups"),
    ],
)
def test_what_is_no_trace_is_refused(data, words):
    with pytest.raises(ValueError, match=words):
        list(decode(data))


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(data):
    """The engine is a stranger: whatever it sends ends in events or in one kind of error."""
    with suppress(ValueError):
        list(decode(base64.b64encode(data).decode()))


def told(*fields):
    lines, stages = [], []
    transcript = Transcript(lines.append, stages.append)
    for one in fields:
        for event in decode(aux(one)):
            transcript.tell(event)
    return transcript, lines, stages


def test_output_becomes_whole_lines_however_it_is_cut():
    _, lines, stages = told(vertex(started=NOW), log("one\ntw"), log("o\n10%\r20%\nlast"),
                            vertex(started=NOW, completed=NOW))  # fmt: skip
    assert lines == ["#1 [2/2] RUN x", "#1 one", "#1 two", "#1 20%", "#1 last", "#1 DONE"]
    assert stages == ["[2/2] RUN x"]


def test_a_cached_step_is_no_stage():
    _, lines, stages = told(vertex(cached=1, started=NOW, completed=NOW))
    assert (lines[-1], stages) == ("#1 CACHED", [])


def test_the_step_that_failed_keeps_its_last_words():
    """Another step that was cancelled for it is not the reason."""
    other = "sha256:b"
    transcript, lines, _ = told(
        vertex(other, "[1/2] RUN y", started=NOW), vertex(started=NOW),
        log("".join(f"{n}\n" for n in range(50))),
        vertex(other, "[1/2] RUN y", completed=NOW, error="rpc error: context canceled"),
        vertex(started=NOW, completed=NOW, error="exit code: 37"),
    )  # fmt: skip
    name, words = transcript.failed
    assert (name, len(words), words[-1]) == ("[2/2] RUN x", 20, "49")
    assert "#2 ERROR exit code: 37" in lines
