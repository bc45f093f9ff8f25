"""Intervals of shares."""

import math
import statistics


def interval(count: int, of: int, times: float = 1.0) -> str:
    """A share with its 95 % Wilson interval, or so many times that."""
    if not of:
        return "–"
    z = statistics.NormalDist().inv_cdf(0.975)
    share, width = count / of, z * z / of
    middle = (share + width / 2) / (1 + width)
    reach = z * math.sqrt(share * (1 - share) / of + width / of / 4) / (1 + width)
    values = (share, max(middle - reach, 0), min(middle + reach, 1))
    low = "{:.3f} ({:.3f}-{:.3f})" if times == 1 else "{:.3g} ({:.3g}-{:.3g})"
    return low.format(*(value * times for value in values))
