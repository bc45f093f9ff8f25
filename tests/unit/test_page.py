"""The page holds what was measured, nothing from elsewhere, and strangers' text only as text."""

import base64
import hashlib
import html
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from matrix import tables
from matrix.artefacts import Artefacts, Detail
from matrix.features import Case, Feature
from matrix.reports import page
from matrix.reports.marks import MARKS
from matrix.reports.page import charts, evidence, shapes
from matrix.reports.page.data import for_script, style_of
from matrix.reports.text import block
from matrix.rows import Row
from matrix.trend import Series

HOSTILE = (
    "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)> ../../etc/passwd "
    "{{7*7}} \x1b[31mred\x1b[0m\x1b]8;;http://evil\x07 \u202eevil\u2028 & ' \" ${1} `"
)
RUN = "20261122T000000Z-abcdef"


def row(torch="2.9.0", **fields):
    device = fields.get("device", "cpu")
    default = {
        "run": RUN, "time": "2026-11-22T03:00:00Z", "cell": f"torch{torch}-cpu-py3.11",
        "torch": torch, "variant": "cpu", "accelerator": "cpu", "python": "3.11",
        "execution": f"venv-{device}", "backend": "venv", "runner": "local", "device": device,
        "device_model": "Xeon", "provision": "built", "suite": "feature", "feature": "int8",
        "title": "Integers", "test": "test_matmul.py::test", "verdict": "pass", "recipe": "r",
    }  # fmt: skip
    return Row(**default | fields)


def metric(torch="2.9.0", median=2.0, params="{}", **fields):
    default = {"suite": "throughput", "feature": "", "workload": "gemm", "verdict": ""}
    default |= {"metric": "time", "unit": "s", "better": "lower", "spread": median / 10}
    default |= {"params": params, "test": f"test_w.py::{params}", "median": median}
    return row(torch, **default | fields)


def made(*rows, baseline=None, excluded=(), **more):
    built = tables.build(rows, baseline=baseline, excluded=excluded, changes=())
    return page.render(built, **more)


class Reader(HTMLParser):
    """Elements with their attributes, and the text of what is in them."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), []))

    def handle_data(self, data):
        if self.found:
            self.found[-1][2].append(data)

    def text(self, tag, **wanted):
        [own] = ["".join(t) for n, a, t in self.found if n == tag and wanted.items() <= a.items()]
        return own


def data_of(text, name="data"):
    return json.loads(Reader(text).text("script", id=name))


def evidence_of(text):
    found = data_of(text, "evidence")
    texts = found["texts"]
    return {
        key: [{"id": texts[t[0]], "word": t[2], "reason": texts[t[4]], "traceback": texts[t[6]],
               "error": t[7], "tolerance": t[8], "cause": texts[t[10]]} for t in tests]
        for key, tests in found["cells"].items()
    }  # fmt: skip


def left(*tests, **texts):
    """Artefacts of the one suite of these tests."""
    key = (RUN, "torch2.9.0-cpu-py3.11", "venv-cpu", "feature")
    return {key: Artefacts(tests=dict(tests), **texts)}


# --- strangers -------------------------------------------------------------------------------


HOSTILE_ROWS = [
    row(feature=HOSTILE, title=HOSTILE, verdict="fail", reason=HOSTILE, test=HOSTILE),
    row(suite=HOSTILE, feature="", test=HOSTILE, verdict="fail", reason=HOSTILE),
    row(feature="odd", test="test_b.py::t", verdict=HOSTILE),
    metric(workload=HOSTILE, metric=HOSTILE, unit=HOSTILE, params=json.dumps({HOSTILE: HOSTILE})),
    metric("2.10.0", workload=HOSTILE, metric=HOSTILE, unit=HOSTILE, params="{"),
    row(HOSTILE, cell=HOSTILE, variant=HOSTILE, python=HOSTILE, device=HOSTILE, test="t::t",
        companions=f"{HOSTILE}=={HOSTILE}", device_model=HOSTILE, runner=HOSTILE, driver=HOSTILE),
]  # fmt: skip


def test_no_text_of_a_cell_becomes_markup_or_ends_a_script():
    """The page has the elements of the template, however hostile what it shows is."""
    detail = Detail(traceback=HOSTILE)
    text = made(
        *HOSTILE_ROWS,
        scope=HOSTILE,
        planned=[HOSTILE],
        artefacts=left((HOSTILE, detail), lock=HOSTILE, dockerfile=HOSTILE),
    )
    tags = [(tag, sorted(attributes)) for tag, attributes, _ in Reader(text).found]
    calm = [(tag, sorted(a)) for tag, a, _ in Reader(made(row())).found]
    alarm = ("strong", ["class"])
    assert [tag for tag in tags if tag != alarm] == calm
    assert "<img" not in text
    assert "alert(1)</" not in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]", text)
    assert "\\u001b" not in text
    assert "\\u202e" not in text


def test_what_is_hostile_can_still_be_read():
    found = data_of(made(*HOSTILE_ROWS))
    [odd] = [one for one in found["features"] if one["id"] == "odd"]
    ids = [one["id"] for one in found["features"]]
    assert any("</script><script>alert(1)</script>" in one and "../../etc" in one for one in ids)
    assert {found["marks"][cell]["look"] for cell in odd["cells"]} == {"fail", "not-measured"}


def test_json_in_a_page_has_no_sign_of_markup():
    text = for_script({"a": "</script> <!-- & \u2028 \ud800"})
    assert not set("<>&") & set(text)
    assert text.isascii()
    assert json.loads(text) == {"a": "</script> <!-- & \u2028 \ud800"}


def test_numbers_that_json_does_not_know_are_words():
    detail = Detail(error=math.inf, tolerance=math.nan)
    found = evidence_of(made(row(verdict="wrong"), artefacts=left((row().test, detail))))
    assert (found["f0.0"][0]["error"], found["f0.0"][0]["tolerance"]) == ("inf", "nan")


def test_lines_of_a_block_keep_their_order_and_no_escapes():
    text = "a\r\n\x1b[31m  b\x1b[0m\n\tc\u202e\n" + "x" * 20
    assert block(text) == "a\n  b\n    c\n" + "x" * 20
    assert block(text, 10) == "…" + "x" * 10


# --- of itself -------------------------------------------------------------------------------


def test_nothing_is_loaded_from_elsewhere():
    text = made(row(), metric(), metric("2.10.0"), library="window.vegaEmbed = 1;")
    loads = {"src", "href", "action", "style", "onclick", "onload"}
    assert not [a for _, a, _ in Reader(text).found if loads & set(a)]
    assert not re.search(r"@import|url\(|<link|<iframe|<base", text)


def test_the_policy_lets_exactly_the_scripts_and_the_style_of_the_page_work():
    text = made(row(), library="window.vegaEmbed = 1;")
    [policy] = [a["content"] for _, a, _ in Reader(text).found if "http-equiv" in a]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"

    def digest(one):
        return f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'"

    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert rules["style-src"] == digest(style)
    assert rules["script-src"].split() == [digest(script), digest("window.vegaEmbed = 1;")]


def test_a_library_that_would_end_its_element_is_refused():
    with pytest.raises(ValueError, match="<script> would end"):
        made(row(), library="'</SCRIPT>'")


def test_a_summary_is_the_first_thing_and_wrong_numbers_come_before_it():
    text = made(row(verdict="wrong"), row("2.10.0"))
    summary = html.unescape(text).partition('<p class="summary">')[2]
    assert summary.index("WRONG NUMBERS from a feature") < summary.index("1 WRONG, 1 pass")


def test_a_part_of_the_results_says_that_it_is_one():
    assert "Only run x." in made(row(), scope="run `x`")


# --- verdicts --------------------------------------------------------------------------------


def test_only_a_pass_looks_like_one():
    looks = {verdict: style_of(verdict) for verdict in (*MARKS, "newer-word", "wrong waived")}
    assert [verdict for verdict, look in looks.items() if look == "pass"] == ["pass"]
    assert (looks["newer-word"], looks["wrong waived"]) == ("fail", "waived")


def test_every_look_has_a_style_and_every_verdict_a_colour_and_a_shape():
    css = page._asset("page.css")
    looks = {style_of(verdict) for verdict in MARKS}
    assert {look for look in looks if not re.search(rf"\.v-{look}[ ,]", css)} == set()
    assert set(shapes.COLOURS) == set(shapes.SHAPES) == set(MARKS)


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("verdict", MARKS)
def test_a_mark_is_read_on_its_colour(verdict):
    """The contrast that WCAG asks for text."""
    one = shapes.COLOURS[verdict]
    light, dark = sorted([luminance(one.fill), luminance(one.ink)], reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_what_did_not_run_is_unknown():
    found = data_of(made(row(), row("2.10.0", feature="other", test="test_a.py::b")))
    kinds = {mark["verdict"]: (mark["kind"], mark["look"]) for mark in found["marks"]}
    assert kinds == {"not measured": ("unknown", "not-measured"), "pass": ("measured", "pass")}
    assert sorted(len(one["cells"]) for one in found["features"]) == [2, 2]


def test_cells_without_results_have_their_reasons():
    no_gpu = row("2.8.0", test="", feature="", verdict="no-runner", reason="no cuda device")
    planned = ["torch2.7.0-cpu-py3.11", row().cell, no_gpu.cell]
    found = data_of(made(row(), no_gpu, planned=planned))["untested"]
    told = {gap["cell"].split(" ")[0]: (gap["word"], gap["kind"], gap["reason"]) for gap in found}
    assert told == {
        "torch2.8.0-cpu-py3.11": ("no-runner", "gated", "no cuda device"),
        "torch2.7.0-cpu-py3.11": (
            "not-run", "unknown", "in the matrix file, and no result is here"
        ),
    }  # fmt: skip


def test_a_stale_column_says_what_changed():
    stale = {(row().cell, row().execution): "feature (tests)"}
    built = tables.build([row(), row("2.10.0")], stale=stale, changes=())
    one, other = data_of(page.render(built))["columns"]
    assert (one["stale"], other["stale"]) == ("feature (tests)", "")
    assert "≈ stale" in one["tokens"]


def test_what_a_feature_declares_is_beside_it():
    one = Feature(id="int8", group="matmul", title="Integers", purpose="W8A8", needs=("cuda",),
                  refusals=0, tests=(Case(name="test", doc="Adds."),))  # fmt: skip
    [found] = data_of(made(row(), declared=[one]))["features"]
    assert (found["purpose"], found["needs"]) == ("W8A8", ["cuda"])
    assert found["tests"] == [["test", "Adds."]]


# --- evidence --------------------------------------------------------------------------------


def test_a_failure_has_its_numbers_traceback_and_known_cause():
    reason = "RuntimeError: CUDA driver version is insufficient for CUDA runtime version"
    detail = Detail(traceback="line\nE boom", error=0.25, tolerance=0.1)
    text = made(row(verdict="fail", reason=reason), artefacts=left((row().test, detail)))
    [test] = evidence_of(text)["f0.0"]
    assert (test["id"], test["word"], test["reason"]) == (row().test, "fail", reason)
    assert (test["traceback"], test["error"], test["tolerance"]) == ("line\nE boom", "0.25", "0.1")
    assert test["cause"]


def test_a_text_that_many_cells_share_is_there_once():
    long = "x" * 500
    rows = [row(f"2.{n}.0", verdict="fail", reason=long) for n in range(20)]
    assert made(*rows).count(long) <= 2  # one of evidence, one of its cause


def test_beyond_the_room_for_them_tracebacks_are_left_out_and_say_so(monkeypatch):
    monkeypatch.setattr(evidence, "TRACEBACKS", 100)
    tests = [(f"test_a.py::{n}", Detail(traceback=f"{n}" * 60)) for n in range(3)]
    rows = [row(test=test, feature=test, verdict="fail") for test, _ in tests]
    found = evidence_of(made(*rows, artefacts=left(*tests)))
    told = [found[key][0]["traceback"] for key in sorted(found)]
    assert [text.startswith("left out") for text in told] == [False, True, True]


def test_a_pass_keeps_its_numbers_and_no_traceback():
    detail = Detail(traceback="noise", error=1e-7, tolerance=1e-5)
    [test] = evidence_of(made(row(), artefacts=left((row().test, detail))))["f0.0"]
    assert (test["traceback"], test["error"]) == ("", "1e-07")


def test_of_suites_of_ones_own_only_what_did_not_pass_is_evidence():
    mine = {"suite": "mine", "feature": "", "title": ""}
    rows = [row(**mine, test="test_m.py::a"), row(**mine, test="test_m.py::b", verdict="fail")]
    text = made(*rows)
    assert [test["id"] for test in evidence_of(text)["s0.0"]] == ["test_m.py::b"]
    assert len(data_of(text)["suites"][0]["cells"][0]) == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({}, "--backend venv --rerun all", id="venv"),
        pytest.param(
            {"backend": "host"}, "--backend host --python /path/to/python --rerun all", id="host"
        ),
        pytest.param(
            {"backend": "docker", "provision": "mounted"},
            "--backend docker --python /path/to/python --rerun all",
            id="mounted",
        ),
        pytest.param(
            {"backend": "replay"}, f"--backend replay --recording {RUN} --rerun all", id="replay"
        ),
    ],
)
def test_the_command_runs_the_suite_again_in_the_same_kind_of_place(fields, words):
    told = evidence.command(vars_of(row(**fields)))
    begin = "python -m matrix run --select torch2.9.0-cpu-py3.11 --suite feature "
    assert told == begin + words


def vars_of(one):
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


def test_a_command_cannot_be_made_to_do_anything_else():
    told = evidence.command(vars_of(row(cell="x; rm -rf ~", suite="$(reboot)")))
    assert "'x; rm -rf ~'" in told
    assert "'$(reboot)'" in told


# --- charts ----------------------------------------------------------------------------------


def points_of(*rows, kind="versions", baseline=None):
    built = tables.build(rows, baseline=baseline, changes=())
    return [chart for chart in charts.all_of(built) if chart["kind"] == kind]


def test_a_value_has_its_interval_around_it():
    [chart] = points_of(metric(median=2.0), metric("2.10.0", median=4.0))
    assert [(p["torch"], p["value"], p["low"], p["high"]) for p in chart["points"]] == [
        ("2.9.0", 2.0, 1.9, 2.1), ("2.10.0", 4.0, 3.8, 4.2),
    ]  # fmt: skip
    assert chart["subtitle"] == "time, s, on cpu"


def test_a_rate_takes_the_place_of_its_time():
    params = json.dumps({"work.tokens": 8})
    [chart] = points_of(metric(median=2.0, params=params), metric("2.10.0", params=params))
    first = chart["points"][0]
    assert (first["value"], first["unit"]) == (4.0, "tok/s")
    assert first["low"] == pytest.approx(8 / 2.1)
    assert first["high"] == pytest.approx(8 / 1.9)


def test_devices_are_never_in_one_chart():
    rows = [metric(t, device=d) for t in ("2.9.0", "2.10.0") for d in ("cpu", "cuda")]
    assert [chart["subtitle"] for chart in points_of(*rows)] == [
        "time, s, on cpu", "time, s, on cuda",
    ]  # fmt: skip


def test_one_release_is_no_chart_over_releases():
    assert points_of(metric()) == []


def test_over_time_each_column_has_a_line_of_its_runs_with_their_intervals():
    """A workload that has changed is another one; too many runs are thinned, newest kept."""
    built = tables.build([metric(median=2.0), metric("2.10.0")], changes=())
    key = ("torch2.9.0-cpu-py3.11", "venv-cpu", "Xeon", "built")
    values = tuple((f"2026-11-{day:02d}T03:00:00+00:00", 2.0, 0.2) for day in range(1, 23))
    fields = {"params": "{}", "metric": "time", "unit": "s", "better": "lower"}
    series = [Series(key=key, workload="gemm", values=values, **fields)]
    [chart] = charts.over_time(built, [*series, replace(series[0], key=("gone", *key[1:]))])
    assert (chart["kind"], chart["title"]) == ("time", "gemm over time")
    assert chart["subtitle"] == "time, s, lower is better, on cpu"
    assert len(chart["points"]) == 22
    point = chart["points"][0]
    assert (point["time"], point["series"]) == ("2026-11-22T03:00:00Z", "2.9.0")
    assert (point["low"], point["value"], point["high"]) == pytest.approx((1.9, 2.0, 2.1))


def test_a_year_of_runs_is_thinned(monkeypatch):
    """So that the page stays small; it says so, and the newest run is there."""
    monkeypatch.setattr(charts, "MOST_POINTS", 10)
    built = tables.build([metric()], changes=())
    values = tuple((f"2026-11-{day:02d}T03:00:00+00:00", 2.0, None) for day in range(1, 23))
    key = ("torch2.9.0-cpu-py3.11", "venv-cpu", "Xeon", "built")
    one = Series(
        key=key, workload="gemm", params="{}", metric="time", unit="s", better="lower",
        values=values,
    )  # fmt: skip
    [chart] = charts.over_time(built, [one])
    assert [point["time"][8:10] for point in chart["points"]] == [
        "22", "19", "16", "13", "10", "07", "04", "01",
    ]  # fmt: skip
    assert chart["subtitle"].endswith(", one run in 3")


def test_a_curve_is_over_a_number_that_varies_in_one_column():
    rows = [metric(params=json.dumps({"batch": b, "dtype": "bf16"})) for b in (1, 8)]
    alone = metric("2.10.0", params='{"batch": 1, "dtype": "bf16"}')
    [chart] = points_of(*rows, alone, kind="curves")
    assert chart["title"] == "gemm dtype=bf16 by batch"
    assert [(p["torch"], p["x"]) for p in chart["points"]] == [("2.9.0", 1), ("2.9.0", 8)]


def test_points_of_a_curve_share_a_unit_whatever_their_size():
    rows = [metric(params=json.dumps({"batch": b}), median=b / 1e4) for b in (1, 100_000)]
    [chart] = points_of(*rows, kind="curves")
    assert [(p["value"], p["unit"]) for p in chart["points"]] == [
        (pytest.approx(100.0), "us"), (pytest.approx(1e7), "us"),
    ]  # fmt: skip


def test_ratios_are_a_heat_map_where_there_is_a_baseline():
    rows = [metric(), metric("2.10.0", median=1.0)]
    assert points_of(*rows, kind="ratios") == []
    [chart] = points_of(*rows, kind="ratios", baseline=row().cell)
    assert [point["told"] for point in chart["points"]] == ["1.00", "2.00"]


def test_ratios_of_workloads_with_long_parameters_have_a_row_each():
    rows = [
        metric(torch, params=json.dumps({"a": "x" * 60, "kernel": kernel, "z": "x" * 60}))
        for torch in ("2.9.0", "2.10.0")
        for kernel in ("cudnn", "flash")
    ]
    [chart] = points_of(*rows, kind="ratios", baseline=row().cell)
    assert len({point["row"] for point in chart["points"]}) == 2
    assert all("kernel=" in work["params"] for work in data_of(made(*rows))["workloads"])


def test_a_picture_of_the_table_has_what_ran_and_where_it_differs():
    rows = [row(), row("2.10.0"), row(feature="f", test="a::f"),
            row("2.10.0", feature="f", test="a::f", verdict="fail")]  # fmt: skip
    built = tables.build(rows, changes=())
    assert {point["row"] for point in charts.grid(built)["points"]} == {"int8", "f"}
    differing = charts.grid(built, only_differing=True)
    assert {point["row"] for point in differing["points"]} == {"f"}
    assert differing["verdicts"] == ["fail", "pass"]
