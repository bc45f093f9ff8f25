"""Do in a capture what cannot be captured, and then everything an engine would go on with.

Prints what it raised, and what came of products, random numbers and another graph afterwards. A
process of its own, because what a broken capture leaves behind (allocator, generator, current
stream) would reach other tests.
"""

import json
import math
import sys

import torch

x = torch.arange(1000.0, device="cuda")
for _ in range(3):
    x * 3
torch.cuda.synchronize()
raised = ""
try:
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        (x * 3).sum().item()
except RuntimeError as error:
    raised = str(error)
torch.cuda.synchronize()
found = {"raised": raised, "eager": (x * 3).tolist(), "unrandom": ""}
try:
    found["random"] = [torch.rand(1000, device="cuda").mean().item() for _ in range(2)]
except RuntimeError as error:
    found["unrandom"] = str(error)
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    out = x * 3
out.fill_(math.nan)
graph.replay()
found["replayed"] = out.tolist()
sys.stdout.write(json.dumps(found) + "\n")
