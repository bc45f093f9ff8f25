"""Run an AOTInductor package that another process has built.

Usage: aoti_load.py PACKAGE INPUTS DEVICE. Prints what it computes as a JSON list.
"""

import json
import sys

import torch
import torch._inductor

package, inputs, device = sys.argv[1:]
x = torch.load(inputs).to(device)
with torch.no_grad():
    out = torch._inductor.aoti_load_package(package)(x)
sys.stdout.write(json.dumps(out.tolist()) + "\n")
