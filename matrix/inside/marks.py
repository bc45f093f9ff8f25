"""Markers that turn a test into a row of the feature or throughput table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Sequence, TypeVar

FEATURE = "matrix_feature"
WORKLOAD = "matrix_workload"

Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True)
class Refusal:
    """How torch says that it lacks a feature.

    ``exception`` is the name of a class in the raised exception's MRO, ``pattern`` a regular
    expression searched in its message, ``source`` the URL or text that says so.
    """

    exception: str
    pattern: str
    source: str

    def matches(self, error: BaseException) -> bool:
        """Whether ``error`` is this refusal."""
        names = {kind.__name__ for kind in type(error).__mro__}
        return self.exception in names and re.search(self.pattern, str(error)) is not None


def feature(
    id: str,  # noqa: A002 - the word of the vocabulary
    title: str,
    *,
    purpose: str = "",
    refusals: Sequence[Refusal] = (),
    needs: Sequence[str] = (),
) -> Callable[[Test], Test]:
    """Make a test (part of) the row ``id`` of the feature table.

    ``purpose`` says in one sentence what a serving engine does with it (given once per feature).
    A test that raises one of ``refusals`` is ``unsupported``; one whose ``needs`` (see
    ``matrix.inside.needs``) the machine lacks is skipped with the reason.
    """
    return _marker(FEATURE, id, title, refusals, needs, purpose)


def workload(
    id: str,  # noqa: A002 - the word of the vocabulary
    title: str,
    *,
    refusals: Sequence[Refusal] = (),
    needs: Sequence[str] = (),
) -> Callable[[Test], Test]:
    """Make a test (part of) the row ``id`` of the throughput table; see :func:`feature`."""
    return _marker(WORKLOAD, id, title, refusals, needs)


def _marker(
    name: str,
    row: str,
    title: str,
    refusals: Sequence[Refusal],
    needs: Sequence[str],
    purpose: str = "",
) -> Callable[[Test], Test]:
    # Imported here because the supervisor imports this package in cells without pytest.
    import pytest  # noqa: PLC0415

    mark = getattr(pytest.mark, name)
    decorate: Callable[[Test], Test] = mark(
        id=row, title=title, purpose=purpose, refusals=tuple(refusals), needs=tuple(needs)
    )
    return decorate
