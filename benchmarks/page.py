"""The report page at 200 cells × 80 features: size, time to open, time of each filter.

    python benchmarks/page.py [--columns 200] [--features 80] [--keep page.html]

Needs Chromium (`MATRIX_TEST_CHROMIUM`, or `chromium` on the path) and the `test` group. Times are
medians of five fresh pages: to the first drawn table, and from a change of the fragment to the next
frame, which includes style and layout.
"""

import argparse
import itertools
import os
import random
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from matrix import tables
from matrix.artefacts import Artefacts, Detail
from matrix.reports import page
from matrix.reports.page import vega
from matrix.rows import Row

VARIANTS = ("cpu", "cu118", "cu121", "cu126", "cu128", "cu130", "rocm6.4", "rocm7.2")
FILTERS = (
    "feature=feature-7",
    "torch=2.13",
    "verdict=fail",
    "variant=cu128&differ=1",
    "sort=trouble",
    "",
)
DRAWN = """new Promise((done) => requestAnimationFrame(() => setTimeout(
  () => done(performance.now()))))"""
SETTLED = """(fragment) => new Promise((done) => {
  const begun = performance.now();
  location.hash = fragment;
  addEventListener("hashchange", () => requestAnimationFrame(() => setTimeout(
    () => done(performance.now() - begun))), {once: true});
})"""


def rows(columns: int, features: int) -> list[Row]:
    """Outcomes of a matrix: most pass, each release refuses some, a few fail with tracebacks."""
    chance = random.Random(1)  # noqa: S311  the same matrix every time
    axes = itertools.product(range(4, 16), ("3.11", "3.12", "3.13"), VARIANTS)
    made = []
    for minor, python, variant in itertools.islice(axes, columns):
        kind = "cuda" if variant.startswith("cu") else "rocm" if "rocm" in variant else "cpu"
        for feature in range(features):
            verdict = chance.choices(
                ("pass", "unsupported", "skip", "fail", "wrong"), (70, 15, 10, 4, 1)
            )[0]
            bad = verdict in {"fail", "wrong"}
            reason = f"RuntimeError: operator {feature} is not there ({minor})" if bad else ""
            made.append(
                Row(
                    run="20261122T000000Z-abcdef", time="2026-11-22T00:00:00+00:00",
                    cell=f"torch2.{minor}.0-{variant}-py{python}", torch=f"2.{minor}.0",
                    variant=variant, accelerator=kind, python=python, execution=f"docker-{kind}",
                    backend="docker", runner="local", device=kind, device_model=f"Model {kind}",
                    provision="built", suite="feature", feature=f"feature-{feature}",
                    title=f"What feature {feature} does", verdict=verdict, reason=reason,
                    test=f"test_group{feature // 5}.py::test_{feature}", duration=0.5,
                    recipe="r", evidence="e",
                )
            )  # fmt: skip
    return made


def artefacts(made: list[Row]) -> dict[tuple[str, str, str, str], Artefacts]:
    """A traceback of forty lines for what failed, and a lock for every cell."""
    found: dict[tuple[str, str, str, str], Artefacts] = {}
    for key, own in itertools.groupby(made, key=lambda r: (r.run, r.cell, r.execution, r.suite)):
        details = {
            row.test: Detail(
                error=0.01,
                tolerance=0.1,
                traceback="\n".join(f"{row.test}:{n}: in f\n    g({row.torch})" for n in range(20)),
            )
            for row in own
        }
        lock = "\n".join(f"package{n}==1.{n}" for n in range(40)) + f"\ntorch=={key[1]}"
        found[key] = Artefacts(tests=details, lock=lock)
    return found


def opened(browser_page: Page, url: str) -> float:
    """Milliseconds from the start of the navigation to the first table that is drawn."""
    browser_page.goto("about:blank")
    browser_page.goto(url)
    return float(browser_page.evaluate(DRAWN))


def main() -> None:
    """Make the page and drive it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", type=int, default=200)
    parser.add_argument("--features", type=int, default=80)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    made = rows(arguments.columns, arguments.features)
    text = page.render(tables.build(made), artefacts=artefacts(made), library=vega.library())
    path = arguments.keep or Path(tempfile.mkdtemp()) / "page.html"
    path.write_text(text, encoding="utf-8")
    print(f"{arguments.columns} columns × {arguments.features} features: {len(text) / 1e6:.2f} MB")
    program = os.environ.get("MATRIX_TEST_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        own = browser.new_page(viewport={"width": 1366, "height": 768})
        times = [opened(own, f"file://{path}") for _ in range(5)]
        print(f"opens in {statistics.median(times):.0f} ms")
        for fragment in FILTERS:
            spent = []
            for _ in range(5):
                own.evaluate(SETTLED, "view=executions&at=x")
                own.evaluate(SETTLED, "feature=none")
                spent.append(own.evaluate(SETTLED, fragment or "sort="))
            print(f"#{fragment}: {statistics.median(spent):.0f} ms")
        browser.close()


if __name__ == "__main__":
    main()
