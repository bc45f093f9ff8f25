"""How much of a real run is ours: its wall time against the time in the cells' own processes.

    python benchmarks/real_cells.py [SLOTS [SELECTION …]]

Runs real torch releases (default: the `ci` profile's two) from a warm download cache and prints
wall ÷ (shared stages ÷ slots + exclusive suites): 1.00 would be an orchestrator that costs nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Print one line of Markdown table per run."""
    slots = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    chosen = [part for text in sys.argv[2:] for part in ("--select", text)] or ["--profile", "ci"]
    command = [sys.executable, "-m", "matrix", "run", "--file", str(ROOT / "matrix.toml")]
    for _ in range(2):  # the first one fills uv's download cache
        with tempfile.TemporaryDirectory() as folder:
            argv = [*command, *chosen, "--slots", str(slots), "--results", folder, "--json"]
            done = subprocess.run(argv, stdout=subprocess.PIPE, check=False, env=dict(os.environ))
            if done.returncode not in (0, 1):
                sys.exit(f"the run ended with {done.returncode}")
            bundle = Path(json.loads(done.stdout)["bundle"])
            run = json.loads((bundle / "run.json").read_text())
            exclusive = {"throughput"}
            shared = alone = 0.0
            made: set[tuple[str, str]] = set()
            for entry in run["executions"]:
                tests = entry["stages"].get("tests", 0.0)
                if entry["suite"] in exclusive:
                    alone += tests
                else:
                    shared += tests
                if (key := (entry["cell"], entry["evidence"])) not in made:
                    made.add(key)  # suites that share an environment made it once
                    shared += sum(v for k, v in entry["stages"].items() if k != "tests")
    wall = run["seconds"]
    floor = shared / slots + alone
    print("\n| cells | slots | wall s | in the cells: shared s, exclusive s | wall ÷ floor |")
    print("|---|---|---|---|---|")
    cells = len({entry["cell"] for entry in run["executions"]})
    print(f"| {cells} | {slots} | {wall:.1f} | {shared:.1f}, {alone:.1f} | {wall / floor:.3f} |")


if __name__ == "__main__":
    main()
