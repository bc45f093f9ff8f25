"""Everything that runs inside a cell, and the API that feature and workload tests import.

Nothing here imports torch or pytest until a test needs it: the supervisor runs in cells that have
neither, and a suite of the user's own that never touches torch must not pay for importing it.
"""

from matrix.inside.marks import Refusal, feature, workload
from matrix.inside.numerics import (
    WrongNumbers,
    assert_close,
    assert_relative,
    poisoned,
    randn,
)

__all__ = [
    "Refusal",
    "WrongNumbers",
    "assert_close",
    "assert_relative",
    "feature",
    "poisoned",
    "randn",
    "workload",
]
