"""What a pulled compile cache is worth: the first call of a compiled decoder, in a fresh place.

    python benchmarks/compile_cache.py PYTHON [--image IMAGE] [--elsewhere PYTHON] [--other PYTHON]
                                       [--pairs N]

PYTHON has torch; with IMAGE it is the interpreter's path in that image, and each sample is a
container of its own. Without, each sample has a home and a temporary folder of its own, and the
operating system's cache is as warm for one contender as for the other. ELSEWHERE is the same torch
in another folder, OTHER another torch.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import ROOT, fresh, rounds

from matrix.compilecache.exchange import pull, push
from matrix.compilecache.key import key_of, place_of
from matrix.compilecache.remote import Remote

LABEL = "benchmarks/compile_cache.py"
FIRST = """
import getpass, json, os, sys, tempfile, time
cache = sys.argv[1]
os.environ.update(TORCHINDUCTOR_CACHE_DIR=cache + "/inductor", TRITON_CACHE_DIR=cache + "/triton")
headers = os.path.join(tempfile.gettempdir(), "torchinductor_" + getpass.getuser())
os.makedirs(headers, exist_ok=True)
os.makedirs(cache + "/headers", exist_ok=True)
os.symlink(cache + "/headers", headers + "/precompiled_headers")  # as matrix.inside does
import torch
from matrix.inside.decoder import Decoder, Shape
torch.manual_seed(0)
shape = Shape(layers=2, hidden=64, inner=128, heads=4, kv_heads=2, vocabulary=128, context=32)
decoder = Decoder(shape).eval()
tokens = torch.arange(8)
with torch.no_grad():
    eager = decoder(tokens, tokens)
    start = time.perf_counter()
    out = torch.compile(decoder)(tokens, tokens)
    seconds = time.perf_counter() - start
torch.testing.assert_close(out, eager, rtol=1e-4, atol=1e-4)
from torch._dynamo.utils import counters
found = {name: counters["inductor"]["fxgraph_cache_" + name] for name in ("hit", "miss")}
print(json.dumps({"seconds": seconds, **found}))
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """An interpreter on this machine, or in an image."""

    python: str
    image: str = ""

    def run(self, words: Sequence[str], folder: Path) -> str:
        """Run the interpreter where nobody has been; `folder` is /shared in a container."""
        with tempfile.TemporaryDirectory() as name:
            if self.image:
                mounts = ["-v", f"{folder}:/shared", "-v", f"{ROOT}/matrix:/src/matrix:ro"]
                argv = ["docker", "run", "--rm", "--network=none", *mounts, "-e", "HOME=/tmp",
                        "-e", "PYTHONPATH=/src", "-e", "USER=matrix", "-u", str(os.getuid()),
                        "--entrypoint", self.python, self.image, *words]  # fmt: skip
                env: Mapping[str, str] = os.environ
            else:
                argv = [self.python, *words]
                env = {"PATH": os.environ["PATH"], "HOME": name, "TMPDIR": name,
                       "PYTHONPATH": str(ROOT)}  # fmt: skip
            done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(argv[:3])}: exit {done.returncode}\n{done.stderr[-2000:]}")
        return done.stdout.splitlines()[-1] if done.stdout else ""

    def inside(self, folder: Path) -> str:
        """The folder as the interpreter sees it."""
        return "/shared" if self.image else str(folder)

    def probe(self, folder: Path) -> dict[str, object]:
        """The interpreter's identity."""
        words = ["-m", "matrix.inside.probe", f"{self.inside(folder)}/probe.json"]
        self.run(words, fresh(folder))
        return dict(json.loads((folder / "probe.json").read_text()))

    def first_call(self, folder: Path) -> dict[str, float]:
        """Seconds of the first compiled call with this cache folder, and what of it was found."""
        told = self.run(["-c", FIRST, self.inside(folder)], folder)
        return dict(json.loads(told))


def main() -> None:
    """Print a table of pairs, and what another torch and another folder get."""
    parser = argparse.ArgumentParser()
    parser.add_argument("python")
    for name in ("image", "elsewhere", "other"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--pairs", type=int, default=5)
    told = parser.parse_args()
    place = Place(python=told.python, image=told.image)
    with tempfile.TemporaryDirectory(prefix="matrix-bench-") as name:
        measure(place, Path(name), told.pairs, told.elsewhere, told.other)


def measure(place: Place, base: Path, count: int, elsewhere: str, other: str) -> None:
    """Fill a remote once, then a pair of fresh places in turn: with nothing, and pulled."""
    remote, folder = Remote(url=str(base / "remote")), base / "cache"
    probe = place.probe(folder)
    key, where = key_of(probe, LABEL), place_of(probe)
    expect(place.first_call(fresh(folder)), hit=0, miss=1)
    sent = push(remote, key, where, folder)
    size = (base / "remote" / key.name).stat().st_size
    pulls: list[float] = []

    def cold() -> float:
        return expect(place.first_call(fresh(folder)), hit=0, miss=1)

    def pulled() -> float:
        clock = time.perf_counter()
        got = pull(remote, key, where, fresh(folder))
        pulls.append(time.perf_counter() - clock)
        assert got.manifest is not None
        return expect(place.first_call(folder), hit=1, miss=0) + pulls[-1]

    samples = rounds({"nothing": cold, "pulled": pulled}, count)
    print(
        f"\n## torch {key.torch}, {'containers' if place.image else 'fresh homes'}, {count} pairs\n"
    )
    print(f"{sent.files} files, {sent.size / 1e6:.1f} MB, archive {size / 1e6:.1f} MB; pull "
          f"{statistics.median(pulls):.2f} s ({min(pulls):.2f}-{max(pulls):.2f})\n")  # fmt: skip
    ratios = [a / b for a, b in zip(samples["nothing"], samples["pulled"], strict=True)]
    print("| cache | first call, pull included: median s (min-max) | nothing ÷ pulled |")
    print("|---|---|---|")
    for contender, values in samples.items():
        line = (
            f"| {contender} | {statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"
        )
        told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"{line} | {told if contender == 'pulled' else ''} |")
    if elsewhere:
        away = Place(python=elsewhere)
        found = away.probe(folder)
        got = pull(remote, key_of(found, LABEL), place_of(found), fresh(folder))
        partly = away.first_call(folder)
        first = away.first_call(fresh(folder))
        print(f"\nThe same torch in another folder: {got.note}. First call {partly['seconds']:.2f}"
              f" s (hit {partly['hit']:.0f}), with nothing {first['seconds']:.2f} s.")  # fmt: skip
    if other:
        stranger = Place(python=other)
        found = stranger.probe(folder)
        got = pull(remote, key_of(found, LABEL), place_of(found), fresh(folder))
        print(f"\nTorch {found['torch']}: {'a hit' if got.manifest else 'a miss'}; {got.note}.")
        pull(remote, key, where, fresh(folder))
        told = stranger.first_call(folder)
        print(f"Given that folder all the same, it finds {told['hit']:.0f} and misses "
              f"{told['miss']:.0f} of one graph.")  # fmt: skip


def expect(found: Mapping[str, float], *, hit: int, miss: int) -> float:
    """Seconds of a first call that found what it had to find."""
    if (found["hit"], found["miss"]) != (hit, miss):
        sys.exit(f"the cache was not what it has to be: {found}")
    return found["seconds"]


if __name__ == "__main__":
    main()
