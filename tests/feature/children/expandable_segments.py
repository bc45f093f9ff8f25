"""Free many small blocks, then ask for one as large as all of them.

Prints bytes reserved before and after it, whether segments are expandable, and a checksum. The
allocator reads its settings once, so they must come with the process.
"""

import json
import sys

import torch

MIB = 1 << 20
blocks = [torch.full((12 * MIB,), 1, dtype=torch.uint8, device="cuda") for _ in range(40)]
before = torch.cuda.memory_reserved()
del blocks
whole = torch.full((480 * MIB,), 3, dtype=torch.uint8, device="cuda")
segments = torch.cuda.memory_snapshot()
found = {
    "before": before,
    "after": torch.cuda.memory_reserved(),
    "expandable": all(segment.get("is_expandable", False) for segment in segments),
    "sum": int(whole.sum(dtype=torch.int64).item()),
}
sys.stdout.write(json.dumps(found) + "\n")
