"""`python -m matrix`."""

import gc
import sys

from matrix.cli import main

if __name__ == "__main__":
    # entries and rows are many small objects that live to the end: looking for cycles among them
    # costs a sixth of a report over a year
    gc.set_threshold(100_000, 30, 30)
    sys.exit(main())
