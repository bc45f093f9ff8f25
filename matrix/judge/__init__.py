"""What changed between runs and whether it is real: verdicts of tests, and numbers of workloads.

`outcomes` compares verdicts. Of numbers, `series` says what may be compared, `effects` how large a
difference is and how sure that is, `verdicts` what it is called, `steps` what is new in a history.
"""

from matrix.judge.outcomes import Change, Finding, compare

__all__ = ["Change", "Finding", "compare"]
