"""Everything that runs inside a cell, and the API that feature and workload tests import.

Nothing here imports torch or pytest until a test needs it: the supervisor runs in cells that have
neither, and a suite of the user's own that never touches torch must not pay for importing it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matrix.inside.marks import Refusal, feature, workload
    from matrix.inside.numerics import (
        WrongNumbers,
        assert_close,
        assert_relative,
        drawn,
        poisoned,
        randn,
    )

_HOMES = {
    "Refusal": "marks",
    "feature": "marks",
    "workload": "marks",
    "WrongNumbers": "numerics",
    "assert_close": "numerics",
    "assert_relative": "numerics",
    "drawn": "numerics",
    "poisoned": "numerics",
    "randn": "numerics",
}
__all__ = [
    "Refusal",
    "WrongNumbers",
    "assert_close",
    "assert_relative",
    "drawn",
    "feature",
    "poisoned",
    "randn",
    "workload",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever that name is
    """Import a name of the API from its module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
