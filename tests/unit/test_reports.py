"""Reports say everything in text, on any width, and no text from a cell can break them."""
# ruff: noqa: E501  whole reports

import csv
import importlib
import json
import re
import sys
from dataclasses import dataclass

import pytest

from matrix import tables
from matrix.records import Row
from matrix.reports import Names, clean, csvfiles, markdown, names, number, scale, tally, terminal

HOSTILE = "a|b `c` <img src=x onerror=alert(1)> @team #1\n| x | \x1b[31mred\x1b[0m \u202eevil\x07"
CLEAN = "a|b `c` <img src=x onerror=alert(1)> @team #1 | x | red evil"


@dataclass(frozen=True, kw_only=True)
class Gone:
    id: str = "torch2.6.0-cu130-py3.12"
    rule: str = "no-wheel"
    reason: str = "no such wheel"
    source: str = "index"
    date: str = "2026-11-22"


def row(torch="2.9.0", variant="cpu", **fields):
    gpu = variant.startswith("cu")
    device = "cuda" if gpu else "cpu"
    default = {
        "run": "run1",
        "time": "2026-11-22T03:00:00Z",
        "cell": f"torch{torch}-{variant}-py3.11",
        "torch": torch,
        "variant": variant,
        "python": "3.11",
        "accelerator": device,
        "execution": f"venv-{device}",
        "backend": "venv",
        "runner": "local",
        "device": device,
        "device_model": "NVIDIA H200" if gpu else "Xeon",
        "driver": "580.65.06" if gpu else "",
        "provision": "built",
        "suite": "feature",
        "feature": "int8",
        "title": "int8",
        "test": "test_matmul.py::test",
        "verdict": "pass",
    }
    return Row(**(default | fields))


def metric(torch="2.9.0", variant="cpu", median=1.4e-3, **fields):
    default = {"suite": "throughput", "feature": "", "workload": "matmul", "verdict": ""}
    default |= {"metric": "time", "unit": "s", "better": "lower", "spread": median * 0.01}
    default |= {"params": json.dumps({"m": 64, "work.flop": 2e9}), "test": "test_w.py::w"}
    return row(torch, variant, **(default | {"median": median} | fields))


def on_terminal(*rows, width=80, color=False, excluded=(), baseline=None):
    made = tables.build(rows, excluded=excluded, baseline=baseline)
    return terminal.render(made, width=width, color=color)


def in_markdown(*rows, excluded=(), baseline=None):
    return markdown.render(tables.build(rows, excluded=excluded, baseline=baseline))


SMALL = [
    row(),
    row("2.11.0", verdict="wrong", reason="max error 0.4, tolerance 0.1"),
    metric(),
    metric("2.11.0", median=0.7e-3),
    row("2.9.0", suite="mine", feature="", test="test_x.py::t"),
    row("2.10.0", test="", feature="", suite="", verdict="infra", reason="disk full"),
]
BASELINE = "torch2.9.0-cpu-py3.11"


def test_the_terminal_report_reads_from_verdicts_to_where_they_are_from():
    """Summary, features with causes, throughput, own suites, what was not tested, provenance."""
    assert (
        on_terminal(*SMALL, excluded=[Gone()], baseline=BASELINE)
        == """\
1 WRONG, 1 pass (1 feature in 2 executions); 2 measurements; without results: 1
excluded, 1 infra.

Features  measured; all columns: cpu py3.11 cpu
feature  2.9.0   2.11.0
matmul
  int8   ✓ pass  ≠ WRONG

  ≠ WRONG int8 in 2.11.0
      max error 0.4, tolerance 0.1

Throughput  measured; median ± half the interquartile range
ratio to torch2.9.0-cpu-py3.11: more than 1 is better than the baseline,
whatever the metric; ~ within the spread
workload           2.9.0        2.11.0
matmul    us       1,400 ±0.5%  700.0 ±0.5%
  m=64    TFLOP/s  1.429        2.857
  time    ratio    1.00×        2.00×

Your suites  measured; tests of each file
file         2.9.0
mine
  test_x.py  ✓ 1 pass

Not tested
  ! infra torch2.10.0-cpu-py3.11 venv-cpu
      disk full [unknown: run run1 on local, 2026-11-22]
  ⊘ excluded torch2.6.0-cu130-py3.12
      no such wheel [gated: no-wheel: index, 2026-11-22]

Columns
  measured 2026-11-22 on cpu Xeon; venv, built; runner local
      torch2.9.0-cpu-py3.11
      torch2.11.0-cpu-py3.11
"""
    )


def test_the_markdown_report_is_lines_that_a_reviewer_can_compare():
    """One feature, workload, cause, cell and column per line; no padding that moves."""
    assert (
        in_markdown(*SMALL, excluded=[Gone()], baseline=BASELINE)
        == """\
1 WRONG, 1 pass (1 feature in 2 executions); 2 measurements; without results: 1 excluded, 1 infra.

## Features (measured)

| feature |  | `torch2.9.0-cpu-py3.11` | `torch2.11.0-cpu-py3.11` |
| --- | --- | --- | --- |
| `int8` |  | ✓ pass | ≠ WRONG |

- ≠ WRONG `int8` in `2.11.0`: `max error 0.4, tolerance 0.1`

## Throughput (measured)

Median ± half the interquartile range; `~` is a difference within the spread.
Ratio to `torch2.9.0-cpu-py3.11`: more than 1 is better than the baseline, whatever the metric.

| workload | metric | `torch2.9.0-cpu-py3.11` | `torch2.11.0-cpu-py3.11` |
| --- | --- | --- | --- |
| `matmul` `m=64` | time, us | 1,400 ±0.5%<br>1.429 TFLOP/s<br>1.00× | 700.0 ±0.5%<br>2.857 TFLOP/s<br>2.00× |

## Your suites (measured)

| suite | file | `torch2.9.0-cpu-py3.11` |
| --- | --- | --- |
| `mine` | `test_x.py` | 1 pass |

## Not tested

- ! infra `torch2.10.0-cpu-py3.11 venv-cpu`: `disk full` (`unknown: run run1 on local, 2026-11-22`)
- ⊘ excluded `torch2.6.0-cu130-py3.12`: `no such wheel` (`gated: no-wheel: index, 2026-11-22`)

## Columns

| column | measured | on |
| --- | --- | --- |
| `torch2.9.0-cpu-py3.11` | 2026-11-22 | `cpu Xeon; venv, built; runner local` |
| `torch2.11.0-cpu-py3.11` | 2026-11-22 | `cpu Xeon; venv, built; runner local` |
"""
    )


def test_markdown_does_not_depend_on_the_order_of_rows():
    """Two machines that merged the same bundles differently write the same file."""
    assert in_markdown(*SMALL) == in_markdown(*reversed(SMALL))


RELEASES = ["2.6.0", "2.7.1", "2.8.0", "2.9.1", "2.10.0", "2.11.0"]
TWELVE = [
    row(torch, variant, verdict=verdict, feature=feature, test=f"test_a.py::{feature}")
    for torch in RELEASES
    for variant in ("cpu", "cu130")
    for feature, verdict in (("attention.flash_with_a_name", "pass"), ("fp8", "unsupported"))
]


def test_twelve_columns_get_numbers_and_a_legend_at_eighty():
    """Where no words fit there are marks, with a legend for the marks and for the columns."""
    _, table, legend, *_ = on_terminal(*TWELVE).split("\n\n")
    assert (
        table
        == """\
Features  measured; all columns: py3.11
feature                        1  2  3  4  5  6  7  8  9  10  11  12
a
  attention.flash_with_a_name  ✓  ✓  ✓  ✓  ✓  ✓  ✓  ✓  ✓  ✓   ✓   ✓
  fp8                          –  –  –  –  –  –  –  –  –  –   –   –"""
    )
    assert (
        legend
        == """\
  1 torch2.6.0-cpu-py3.11      2 torch2.6.0-cu130-py3.11
  3 torch2.7.1-cpu-py3.11      4 torch2.7.1-cu130-py3.11
  5 torch2.8.0-cpu-py3.11      6 torch2.8.0-cu130-py3.11
  7 torch2.9.1-cpu-py3.11      8 torch2.9.1-cu130-py3.11
  9 torch2.10.0-cpu-py3.11     10 torch2.10.0-cu130-py3.11
  11 torch2.11.0-cpu-py3.11    12 torch2.11.0-cu130-py3.11
  – unsupported   ✓ pass"""
    )


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_no_line_is_wider_than_the_terminal(width):
    """A table that does not fit is shortened or cut into parts; nothing is lost at the edge."""
    rows = [*TWELVE, *(metric(t, v) for t in RELEASES for v in ("cpu", "cu130"))]
    rows += [row(t, suite="mine", feature="", test="test_x.py::t") for t in RELEASES]
    text = on_terminal(*rows, width=width, baseline="torch2.6.0-cpu-py3.11")
    assert max(map(len, text.splitlines())) <= width
    assert text.count("TFLOP/s") == text.count("workload ")
    assert "…" not in text.partition("Throughput")[0].partition("attention")[0]


def test_two_devices_of_one_cell_are_two_columns():
    """A CUDA build that ran on a CPU is never taken for one that ran on a GPU."""
    cpu = {"execution": "venv-cpu", "device": "cpu", "device_model": "Xeon", "driver": ""}
    text = on_terminal(row(variant="cu130"), row(variant="cu130", verdict="skip", **cpu))
    assert "feature  cuda    cpu\nmatmul\n  int8   ✓ pass  ○ skip\n" in text
    assert text.endswith(
        "  measured 2026-11-22 on cuda NVIDIA H200; driver 580.65.06; venv, built; runner\n"
        "  local\n"
        "      torch2.9.0-cu130-py3.11\n"
        "  measured 2026-11-22 on cpu Xeon; venv, built; runner local\n"
        "      torch2.9.0-cu130-py3.11 @cpu\n"
    )


def test_what_was_not_measured_is_said_in_words():
    """A gap in the table has a mark and a line below it."""
    text = on_terminal(row(), row("2.11.0", feature="fp8", test="test_f.py::f"))
    assert "? not measured int8 in 2.11.0\n" in text
    assert "? not measured fp8 in 2.9.0\n" in text


def test_without_colour_there_is_no_escape_and_with_it_the_text_is_the_same():
    """Colour adds nothing that the text does not say."""
    bare = on_terminal(*SMALL, baseline=BASELINE)
    coloured = on_terminal(*SMALL, baseline=BASELINE, color=True)
    assert "\x1b" not in bare
    assert "\x1b[1;37;41m≠ WRONG\x1b[0m" in coloured
    stripped = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert [line.rstrip() for line in stripped.splitlines()] == bare.splitlines()


@pytest.mark.parametrize("name", ["NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE"])
def test_the_environment_does_not_change_a_report(name, monkeypatch):
    """Width and colour are arguments; a report is a pure function."""
    before = on_terminal(*SMALL, color=True)
    monkeypatch.setenv(name, "1")
    assert on_terminal(*SMALL, color=True) == before


HOSTILE_ROWS = [
    row(feature=HOSTILE, title=HOSTILE, verdict="fail", reason=HOSTILE),
    row(suite=HOSTILE, feature="", test=HOSTILE, verdict="fail", reason=HOSTILE),
    metric(workload=HOSTILE, metric=HOSTILE, unit=HOSTILE, params=HOSTILE),
    row("2.10.0", test="", feature="", suite=HOSTILE, verdict=HOSTILE, reason=HOSTILE),
]
STRANGE_GONE = Gone(id=HOSTILE, rule=HOSTILE, reason=HOSTILE, source=HOSTILE, date=HOSTILE)


def test_hostile_text_stays_text_on_the_terminal():
    """No escape, control or reordering character of a cell reaches the terminal."""
    text = on_terminal(*HOSTILE_ROWS, excluded=[STRANGE_GONE], width=160)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert f"      {CLEAN}\n" in text


def test_hostile_text_stays_text_in_markdown():
    """Outside code there is no markup, HTML or mention of a cell; tables keep their columns."""
    text = in_markdown(*HOSTILE_ROWS, excluded=[STRANGE_GONE])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    outside = re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", text)
    outside = re.sub(r"<code>[^<]*</code>", "", outside)
    assert not re.search(r"img|@team|onerror", outside)
    tables_ = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert len(tables_) == 4
    for table in tables_:
        assert len({line.count("|") for line in table.splitlines()}) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("plain", "`plain`", id="plain"),
        pytest.param("a `b` c", "`` a `b` c ``", id="backticks-get-a-longer-fence"),
        pytest.param("a|b", "<code>a&#124;b</code>", id="a-pipe-would-end-the-cell"),
        pytest.param("a\\|`", "<code>a&#92;&#124;&#96;</code>", id="an-escaped-pipe-too"),
        pytest.param("<b>", "`<b>`", id="html-is-inert-in-code"),
        pytest.param("\x1b[0m\n", "", id="nothing-left"),
    ],
)
def test_code_cannot_be_left(text, expected):
    """Untrusted text is a code span in lists and in tables."""
    assert markdown.code(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("SDPA, flash backend", "SDPA, flash backend", id="words"),
        pytest.param("torch.compile: scaled_mm", "torch.compile: scaled_mm", id="names"),
        pytest.param("_x_", "`_x_`", id="emphasis"),
        pytest.param("see www.example.com", "`see www.example.com`", id="bare-link"),
        pytest.param("https://example.com", "`https://example.com`", id="link"),
        pytest.param("- item", "`- item`", id="list"),
    ],
)
def test_a_title_is_plain_only_where_it_is_harmless(text, expected):
    """Words are written as they are, everything else as code."""
    assert markdown.prose(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a\r\n\tb", "a b", id="white-space"),
        pytest.param("\x1b]8;;http://x\x07link\x1b]8;;\x07", "link", id="hyperlink-escape"),
        pytest.param("\x1b[2J\x1b[Hx\x9b31m", "x 31m", id="clear-screen"),
        pytest.param("a\u202eb\u200bc", "a b c", id="invisible"),
        pytest.param("x" * 30 + "y" * 30, "xxxxxxxxxxx … yyyyyy", id="long-is-cut-in-the-middle"),
        pytest.param("≠ ä 表", "≠ ä 表", id="letters-of-any-script"),
    ],
)
def test_clean_makes_one_harmless_line(text, expected):
    """Escapes go whole; the end of a long text, where the message often is, stays."""
    assert clean(text, 20) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(1.40234, "1.402", id="four-digits"),
        pytest.param(0.00012345, "0.0001234", id="small"),
        pytest.param(20313.4, "20,313", id="thousands"),
        pytest.param(0.0, "0", id="zero"),
        pytest.param(float("nan"), "nan", id="nan"),
    ],
)
def test_numbers_have_four_digits_and_no_exponent(value, expected):
    """Digits beyond the fourth are noise."""
    assert number(value) == expected


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        pytest.param([0.0014, 2.0], "s", (1000.0, "ms"), id="the-smallest-decides"),
        pytest.param([3e-10], "s", (1e9, "ns"), id="nanoseconds"),
        pytest.param([8e14], "FLOP/s", (1e-12, "TFLOP/s"), id="rate"),
        pytest.param([3.0], "tok/s", (1.0, "tok/s"), id="other-units-stay"),
        pytest.param([], "s", (1.0, "s"), id="nothing"),
    ],
)
def test_values_of_a_line_share_a_unit(values, unit, expected):
    """One factor and one unit, so that numbers beside each other can be compared."""
    factor, shown = scale(values, unit)
    assert (pytest.approx(factor), shown) == expected


def test_a_tally_begins_with_passes_and_shows_strange_words():
    """The order is fixed, zero counts are left out, what is not known is not lost."""
    assert tally({"wrong": 1, "pass": 2, "fail": 0, "odd": 1}) == "2 pass, 1 WRONG, 1 odd"


NAMES = Names(
    common="",
    tokens={label: (label, label[0]) for label in ("a1", "a2", "a3", "b1", "b2")},
    short={label: label for label in ("a1", "a2", "a3", "b1", "b2")},
)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param(["a1"], "a1", id="one"),
        pytest.param(["a1", "a2"], "a1, a2", id="two"),
        pytest.param(["a2", "a3", "b1"], "a2 … b1", id="three-in-a-row"),
        pytest.param(["b2", "a1"], "a1, b2", id="apart-and-in-order"),
        pytest.param(["a1", "a2", "a3"], "all 3 a columns", id="all-that-share-a-token"),
        pytest.param(["a1", "a2", "a3", "b1", "b2"], "all 5 columns", id="all"),
    ],
)
def test_columns_are_named_shortly(labels, expected):
    """A cause that is in many columns says so in a word."""
    assert NAMES.several(labels) == expected


def test_a_short_name_has_only_what_tells_columns_apart():
    """The release alone where it is the only one of its kind, else with what differs."""
    rows = [row("2.9.0"), row("2.9.0", "cu130"), row("2.11.0")]
    short = names(tables.executions(tables.frame(rows)))
    assert (short.common, list(short.short.values())) == (
        "py3.11",
        ["2.9.0-cpu", "2.9.0-cu130", "2.11.0"],
    )


WHERE = "device,device_model,driver,backend,runner,provision,last,run"
WHERE_OF_ALL = "cpu,Xeon,,venv,local,built,2026-11-22T03:00:00Z,run1"


def test_csv_has_a_line_per_statement_with_its_kind(tmp_path):
    """What was measured says where and when, what was not says so, formulas are inert."""
    rows = [row(), row("2.11.0", feature="fp8", test="test_f.py::f", title="=cmd()"), metric()]
    made = tables.build(rows, excluded=[Gone(reason="@sum(1)")])
    paths = csvfiles.write(made, tmp_path / "new")
    names_ = ["features.csv", "workloads.csv", "suites.csv", "cells.csv", "long.csv"]
    assert [path.name for path in paths] == names_
    assert paths[0].read_text(encoding="utf-8").splitlines()[:3] == [
        f"group,feature,title,column,verdict,kind,{WHERE}",
        f"f,fp8,'=cmd(),torch2.9.0-cpu-py3.11,not measured,unknown,{WHERE_OF_ALL}",
        f"f,fp8,'=cmd(),torch2.11.0-cpu-py3.11,pass,measured,{WHERE_OF_ALL}",
    ]
    with paths[3].open(newline="", encoding="utf-8") as stream:
        (cell,) = csv.DictReader(stream)
    assert (cell["reason"], cell["kind"]) == ("'@sum(1)", "gated")
    with paths[4].open(newline="", encoding="utf-8") as stream:
        assert [line["kind"] for line in csv.DictReader(stream)] == ["measured"] * 3


def test_empty_tables_make_a_sentence(tmp_path):
    """A fresh clone can be reported on."""
    made = tables.build([])
    assert terminal.render(made, width=80, color=False) == "No results.\n"
    assert markdown.render(made) == "No results.\n"
    for path in csvfiles.write(made, tmp_path):
        assert len(path.read_text(encoding="utf-8").splitlines()) == 1


def test_only_exclusions_are_a_report_too():
    """A matrix of which nothing can run says why."""
    assert on_terminal(excluded=[Gone()]) == (
        "No results; without results: 1 excluded.\n\nNot tested\n"
        "  ⊘ excluded torch2.6.0-cu130-py3.12\n"
        "      no such wheel [gated: no-wheel: index, 2026-11-22]\n"
    )


def test_many_exclusions_are_folded_in_markdown():
    """A page of exclusions does not push the results out of a review."""
    gone = [Gone(id=f"torch2.{n}.0-cu130-py3.12") for n in range(21)]
    text = in_markdown(excluded=gone)
    assert "<details><summary>21 cells</summary>\n\n- ⊘ excluded `torch2.0.0-cu130" in text


def test_reports_import_no_pandas(monkeypatch):
    """Looking up a mark is cheap: pandas comes only with tables to render."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pandas"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pandas", None)
    for name in [name for name in sys.modules if name.startswith("matrix.reports")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("matrix.reports", "matrix.reports.terminal", "matrix.reports.markdown"):
        assert importlib.import_module(name)
