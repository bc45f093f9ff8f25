"""The log cap, and what a log says about a crash."""

from pathlib import Path

import pytest

from matrix.inside.process import Log


def test_the_cap_is_exact_and_said(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), cap=10)
    for _ in range(5):
        log.write(b"123456")
    log.close()

    text = (tmp_path / "log").read_bytes()
    assert text == b"1234561234\n[log cap reached: 20 bytes dropped]\n"


def test_below_the_cap_nothing_is_added(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), cap=10)
    log.write(b"1234567890")
    log.close()
    log.write(b"late")

    assert (tmp_path / "log").read_bytes() == b"1234567890"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "Fatal Python error: Segmentation fault\n\nThread 0x1:\n  File x\nExtension modules: a",
            "Fatal Python error: Segmentation fault",
            id="faulthandler",
        ),
        pytest.param(
            "terminate called after throwing an instance of 'c10::Error'\n"
            "  what():  CUDA error: an illegal memory access was encountered\nframe #0\n",
            "what():  CUDA error: an illegal memory access was encountered",
            id="c10",
        ),
        pytest.param(
            "ERROR: usage: pytest [options]\npytest: error: unrecognized arguments: --no\n  ini",
            "pytest: error: unrecognized arguments: --no",
            id="usage",
        ),
        pytest.param("one\n\ntwo\n \n", "two", id="nothing telling"),
        pytest.param("", "no output", id="empty"),
    ],
)
def test_last_words(tmp_path: Path, text: str, words: str) -> None:
    """Past the cap they are still known."""
    log = Log(str(tmp_path / "log"), cap=0)
    log.write(text.encode())
    log.close()

    assert log.last_words() == words
