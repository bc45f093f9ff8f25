"""What the benchmarks share: stand-in wheels, paired timing, and how figures are printed."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from matrix import facts  # noqa: E402
from tests import standin  # noqa: E402

TORCH = [v for v in facts.builds() if "cpu" in facts.published(v)][-12:]
SMOKE = "import torch; print(torch.__version__)"


def wheels(folder: Path) -> Path:
    """Twelve releases of a stand-in torch of a few KB, and what they need."""
    for version in TORCH:
        standin.make_torch(folder, version)
    standin.make_needs(folder)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Only the wheel folder is an index, for pip and for uv."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "PYTHON"))}
    return env | {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(folder),
        "UV_PYTHON_DOWNLOADS": "never",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def timed(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], codes: Sequence[int] = (0,)
) -> float:
    """Wall seconds of one process; fails loudly on an unexpected exit code."""
    start = time.perf_counter()
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in codes:
        sys.exit(
            f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return seconds


def rounds(contenders: Mapping[str, Callable[[], float]], count: int) -> dict[str, list[float]]:
    """Run the contenders in turn, `count` times, so that drift of the machine hits all alike."""
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(count):
        for name, run in contenders.items():
            samples[name].append(run())
    return samples


def show(title: str, samples: Mapping[str, list[float]], ours: str) -> None:
    """Print medians with spread, and rival ÷ ours pair by pair: above 1 ours is faster."""
    print(f"\n## {title}\n")
    print("| contender | median s (min-max) | rival ÷ ours, median of pairs (min-max) |")
    print("|---|---|---|")
    for name, values in samples.items():
        line = f"| {name} | {statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f}) |"
        ratios = [rival / own for rival, own in zip(values, samples[ours], strict=True)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"{line} {'' if name == ours else ratio} |")


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
