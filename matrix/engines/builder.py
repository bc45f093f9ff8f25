"""What every builder takes, tells and raises."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from matrix.engines import labels
from matrix.engines.context import Files

LABEL, RUN_LABEL = labels.OURS, labels.RUN
_EXIT_CODE = re.compile(r"(?:exit code|non-zero code): (\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """An image to build from `files`, whose `Dockerfile` says how; no tag is needed."""

    files: Files
    tag: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    network: str = ""


class StepFailed(Exception):  # noqa: N818  the step failed, not the engine
    """A RUN step ended with a code other than 0; `words` are its last lines."""

    def __init__(self, step: str, words: tuple[str, ...], code: int) -> None:
        super().__init__(f"`{step}` ended with code {code}: {' '.join(words)}")
        self.step = step
        self.words = words
        self.code = code


class BuildRefused(Exception):  # noqa: N818  it says who
    """The engine or its builder did not do it, and no step is to blame."""


class BuildTimeout(Exception):  # noqa: N818  as its builtin namesake
    """The build passed its deadline and was cancelled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """Who hears of a build: `write` every line of its log, `stage` the step that begins."""

    write: Callable[[str], None] = lambda _line: None
    stage: Callable[[str], None] = lambda _step: None


class Builder(Protocol):
    """One way to build an image."""

    name: str
    mounts: bool

    def build(self, request: Request, listener: Listener, timeout: float) -> str:
        """Build; returns the image's id.

        Raises `StepFailed`, `BuildRefused`, `BuildTimeout`, `Stopped`.
        """


def failed_step(error: str, step: str, words: tuple[str, ...]) -> Exception:
    """What a builder's error message means: a step that failed, or no step at all."""
    if found := _EXIT_CODE.search(error):
        return StepFailed(step, words, int(found[1]))
    return BuildRefused(" ".join(error.split())[:600])
