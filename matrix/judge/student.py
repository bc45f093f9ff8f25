"""Student's t distribution for whole degrees of freedom, in closed form.

Formulas 26.7.3 and 26.7.4 of Abramowitz and Stegun, Handbook of Mathematical Functions: finite
sums, exact up to rounding. SciPy has it too, and weighs a hundred megabytes in every installation.
"""

import functools
import math


def two_sided(t: float, freedom: int) -> float:
    """Probability of a value at least as far from 0 as `t`; raises `ValueError` below 1 degree."""
    if freedom < 1:
        raise ValueError(f"{freedom} degrees of freedom")
    if math.isinf(t):
        return 0.0
    angle = math.atan2(abs(t), math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    total = 0.0
    term = cosine if odd else 1.0
    for step in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine**2 * (step - 1) / step
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return max(0.0, 1.0 - inside)


@functools.cache
def quantile(confidence: float, freedom: int) -> float:
    """The distance from 0 within which a share `confidence` of the values lies, by bisection."""
    low, high = 0.0, 1.0
    while two_sided(high, freedom) > 1 - confidence:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        if two_sided(middle, freedom) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high
