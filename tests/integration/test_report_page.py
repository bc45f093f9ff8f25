"""The report page in a real browser, made by the real commands from recorded and hostile artefacts.

Skips without a Chromium; with `MATRIX_TEST_BROWSER=required` its absence fails.
"""

import io
import json
import os
import struct
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import browser
from playwright.sync_api import Browser, Page, expect

from matrix import cli

MATRIX = """
[[torch]]
version = ["2.9.0", "2.10.0", "2.11.0", "2.12.0"]
variants = ["cpu", "cu128"]
python = ["{python}"]
[profiles.default]
suites = ["feature", "throughput"]
select = ["variant==cpu"]
baseline = "torch==2.10.0"
"""
RELEASES = ("2.10.0", "2.11.0", "2.12.0")
HOSTILE = (
    "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    " ../../etc/passwd {{7*7}} \x1b[31mred\x1b]8;;http://evil.test\x07 \u202eevil"
)
FEATURES = ("fp8-gemm", "int8-gemm", "flash", "paged", HOSTILE)
PASSES = {"verdict": "pass", "numbers": {"error": 1e-7, "tolerance": 1e-5, "seed": 1}}
WRONG = {
    "verdict": "wrong",
    "reason": "WrongNumbers: error 0.9 > 0.1",
    "numbers": {"error": 0.9, "tolerance": 0.1, "seed": 7},
    "error": {
        "type": "WrongNumbers",
        "message": "error 0.9",
        "traceback": "in t\nE off",
    },
}
FAILS = {
    "verdict": "fail",
    "reason": HOSTILE,
    "error": {"type": "RuntimeError", "message": HOSTILE, "traceback": f"in t\nE {HOSTILE}"},
}


def outcomes(release):
    """What each feature does in a release."""
    found = dict.fromkeys(FEATURES, PASSES)
    if release == "2.10.0":
        found["fp8-gemm"] = {"verdict": "unsupported", "reason": "NotImplementedError: no fp8"}
    if release == "2.11.0":
        found["flash"] = WRONG
        found[HOSTILE] = FAILS
    if release != "2.12.0":
        del found["paged"]
    for name, what in found.items():
        group = "attention" if name in {"flash", "paged"} else "matmul"
        yield {"event": "outcome", "id": f"test_{group}.py::{name}", "feature": name, "title": name,
               "duration": 0.1, "device": "cpu", **what}  # fmt: skip


def metrics(release):
    """A workload at two sizes of batch."""
    for batch in (1, 8):
        test = {"id": f"test_w.py::decode[{batch}]", "workload": "decode", "title": "Decode"}
        yield {"event": "outcome", **test, "verdict": "pass", "duration": 0.1, "device": "cpu"}
        slower = 13 - int(release.split(".")[1])
        samples = [batch * 0.01 * (1 + n / 50) * slower for n in range(9)]
        yield {"event": "metric", **test, "metric": "time", "unit": "s", "better": "lower",
               "params": {"batch": batch}, "work": {"tokens": batch}, "samples": samples,
               "device": "cpu"}  # fmt: skip


@pytest.fixture(scope="module")
def recording(tmp_path_factory, make):
    """What three cells left, among it a Dockerfile, a lock and text that would run if it could."""
    folder = tmp_path_factory.mktemp("recording")
    for release in RELEASES:
        cell = make.cell(release)
        for suite, events in (("feature", outcomes(release)), ("throughput", metrics(release))):
            place = folder / "cells" / cell / "venv-cpu" / suite
            place.mkdir(parents=True)
            end = {"event": "end", "status": "complete", "reason": ""}
            (place / "outcomes.jsonl").write_text("\n".join(map(json.dumps, (*events, end))) + "\n")
            probe = {"schema": 1, "torch": f"{release}+cpu", "python": f"{make.python}.1",
                     "accelerator": "cpu", "device": "cpu", "devices": [],
                     "cpu": {"model": HOSTILE}}  # fmt: skip
            (place / "probe.json").write_text(json.dumps(probe))
            (place / "requirements.lock").write_text(f"torch=={release} \\\n  --hash=sha256:0\n")
    return folder


@pytest.fixture(scope="module")
def call(tmp_path_factory, make):
    """A command in the folder of a matrix file, in this process: exit code and both outputs."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "matrix.toml").write_text(MATRIX.format(python=make.python))
    env = {"HOME": str(folder), "PIP_CONFIG_FILE": os.devnull, "PATH": os.environ["PATH"]}

    def run(*arguments):
        out, err = io.StringIO(), io.StringIO()
        words = [*map(str, arguments), "--file", str(folder / "matrix.toml")]
        with redirect_stdout(out), redirect_stderr(err):
            code = cli.main(words, env=env)
        return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def made(call, recording):
    """The page and a picture, as the commands make them."""
    done = call("run", "--backend", "replay", "--recording", recording)
    assert done.code == 0, done.err
    page, picture = call.folder / "out" / "page.html", call.folder / "out" / "table.svg"
    done = call("report", "--html", page, "--picture", picture)
    assert (done.code, done.out) == (0, ""), done.err
    return page, picture


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def open_page(made, chromium):
    """Open the page at a fragment; whatever a console says or the network is asked for fails."""
    complaints, contexts = [], []

    def call(fragment="", width=1366, scheme="light") -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: r.url.startswith("file:") or complaints.append(r.url))
        page.goto(f"file://{made[0]}#{fragment}")
        return page

    yield call
    hacked = [page for c in contexts for page in c.pages if page.evaluate("'hacked' in window")]
    for context in contexts:
        context.close()
    assert complaints == []
    assert hacked == []


def names(page):
    """The features on view."""
    return page.locator(".grid tr[data-row^=f] th .mono").all_inner_texts()


def cell(page, feature, release):
    """The cell of a feature in a release."""
    heads = page.locator(".grid thead th").all_inner_texts()
    at = [head.split("\n")[0] for head in heads].index(release)
    row = page.locator(".grid tbody tr", has=page.get_by_text(feature, exact=True)).first
    return row.locator("th, td").nth(at)


def test_it_opens_with_the_summary_the_alarm_and_the_table(open_page):
    page = open_page()
    assert "WRONG NUMBERS from a feature" in page.locator(".summary").inner_text()
    assert names(page)[:2] == ["flash", "paged"]
    assert cell(page, "flash", "2.11.0").inner_text() == "≠ WRONG"
    assert cell(page, "flash", "2.11.0").get_attribute("aria-label") == "WRONG"
    assert "v-not-measured" in cell(page, "paged", "2.11.0").get_attribute("class")


def test_filters_change_the_table_and_the_fragment_and_a_reload_keeps_them(open_page):
    page = open_page()
    page.get_by_label("Feature", exact=True).fill("GEMM")
    page.get_by_label("PyTorch").select_option("2.12")
    assert names(page) == ["fp8-gemm", "int8-gemm"]
    assert len(page.locator(".grid thead th").all()) == 2
    assert page.evaluate("location.hash") == "#torch=2.12&feature=GEMM"
    page.reload()
    assert names(page) == ["fp8-gemm", "int8-gemm"]
    page.get_by_role("button", name="Reset").click()
    assert page.evaluate("location.hash") == ""
    assert len(names(page)) == len(FEATURES)


@pytest.mark.parametrize(
    ("fragment", "features", "columns"),
    [
        pytest.param("torch=2.12&feature=fp8", ["fp8-gemm"], 1, id="release-and-feature"),
        pytest.param("torch=>%3D2.11&feature=gemm", ["fp8-gemm", "int8-gemm"], 2, id="since"),
        pytest.param("torch=2.10,2.12&verdict=unsupported", ["fp8-gemm"], 2, id="refused"),
        pytest.param("verdict=wrong", ["flash"], 3, id="wrong"),
        pytest.param("differ=1&feature=-gemm", ["fp8-gemm"], 3, id="what-differs"),
        pytest.param("torch=2.11&feature=pag", [], 0, id="never-ran-there"),
        pytest.param("torch=2.11&feature=pag&unrun=1", ["paged"], 1, id="also-what-never-ran"),
        pytest.param(
            "sort=trouble&feature=gemm", ["fp8-gemm", "int8-gemm"], 3, id="most-trouble-first"
        ),
        pytest.param("torch=9.9", [], 0, id="no-such-release"),
        pytest.param("view=nonsense&sort=x&at=%00&verdict=%3Cb%3E&python=1", [], 0, id="nonsense"),
    ],
)
def test_a_link_opens_what_it_names(open_page, fragment, features, columns):
    page = open_page(fragment)
    assert names(page)[:2] == features
    assert len(page.locator(".grid thead th:not(:first-child)").all()) == columns


def test_a_chip_shows_the_rows_with_its_verdict_and_fades_the_rest(open_page):
    page = open_page()
    page.locator("[data-verdict=wrong]").click()
    assert names(page) == ["flash"]
    assert "faint" in cell(page, "flash", "2.10.0").get_attribute("class")
    assert "faint" not in cell(page, "flash", "2.11.0").get_attribute("class")
    assert page.locator("[data-verdict=wrong]").get_attribute("aria-pressed") == "true"


def test_a_head_sorts_by_its_column_and_back(open_page):
    page = open_page()
    head = page.locator(".grid thead th", has_text="2.10.0")
    head.click()
    assert names(page)[0] == "fp8-gemm"
    assert head.get_attribute("aria-sort") == "ascending"
    head.click()
    assert names(page)[0] != "fp8-gemm"
    head.click()
    assert head.get_attribute("aria-sort") == "none"
    assert page.locator(".grid tr.group").count() == 2


def test_a_cell_shows_its_evidence(open_page, make):
    page = open_page()
    cell(page, "flash", "2.11.0").click()
    panel = page.get_by_role("complementary", name="Evidence")
    told = panel.inner_text()
    command = f"python -m matrix run --select {make.cell('2.11.0')} --suite feature"
    numbers = "0.9 (tolerance 0.1)"
    for text in ("≠ WRONG", "measured", "test_attention.py::flash", numbers, "E off", command):
        assert text in told
    panel.get_by_text("lock").click()
    assert "torch==2.11.0" in panel.inner_text()
    assert "sha256" not in panel.inner_text()
    link = page.evaluate("location.hash")
    assert "at=flash" in link
    again = open_page(link.removeprefix("#"))
    assert again.get_by_role("complementary", name="Evidence").inner_text() == told
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()


def test_a_cell_in_which_nothing_ran_says_that_it_is_unknown(open_page):
    page = open_page()
    cell(page, "paged", "2.10.0").click()
    told = page.get_by_role("complementary", name="Evidence").inner_text()
    assert "not measured" in told
    assert "unknown" in told


def test_hostile_text_is_shown_as_text(open_page):
    page = open_page("feature=script")
    assert "<script>window.hacked = 1</script>" in names(page)[0]
    page.locator(".grid tr[data-row^=f] td.v-fail").click()
    told = page.get_by_role("complementary", name="Evidence").inner_text()
    assert "<img src=x onerror='window.hacked = 1'> ../../etc/passwd {{7*7}} red" in told
    assert "\u202e" not in told
    for view in ("causes", "throughput", "untested", "executions"):
        page.evaluate(f"location.hash = 'view={view}'")
        expect(page.locator(f"[data-view={view}]")).to_have_attribute("aria-selected", "true")


def test_all_of_it_can_be_reached_by_keys(open_page):
    page = open_page()
    page.locator(".grid").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    active = page.locator("#active")
    assert active.inner_text() == "≠ WRONG"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "H2"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className").startswith("grid")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert "flash" not in names(page)
    assert page.locator(".grid tr.group th").first.get_attribute("aria-expanded") == "false"
    page.locator("[role=tab][aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("location.hash") == "#view=causes"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "feature"


def test_what_was_not_tested_is_there_with_its_reason(open_page):
    page = open_page("view=untested")
    rows = page.locator(".plain tbody tr").all_inner_texts()
    assert any("cu128" in row and "excluded" in row and "gated" in row for row in rows), rows


def test_charts_are_drawn_and_the_numbers_are_beside_them(open_page):
    page = open_page("view=throughput")
    expect(page.locator("figure svg").first).to_be_visible()
    titles = page.locator("figcaption").all_inner_texts()
    assert [title.split("\n")[0] for title in titles[1:]] == [
        "decode batch=1", "decode batch=8", "decode by batch",
    ]  # fmt: skip
    page.locator("figure").last.scroll_into_view_if_needed()
    expect(page.locator("figure svg")).to_have_count(4)
    assert "tok/s" in page.locator(".plain").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page, make, scheme):
    """Of every view, with evidence open, light and dark."""
    page = open_page(f"at=flash%40%40{make.cell('2.11.0')}", scheme=scheme)
    found = []
    for view in ("", "causes", "throughput", "untested", "executions"):
        page.evaluate(f"location.hash = 'view={view}&at=flash%40%40{make.cell('2.11.0')}'")
        expect(page.locator(f"[data-view={view or 'features'}]")).to_have_attribute(
            "aria-selected", "true"
        )
        found += [
            (view, one["id"], [node["html"][:200] for node in one["nodes"]][:3])
            for one in Axe().run(page).response["violations"]
            if one["impact"] in {"serious", "critical"}
        ]
    assert found == []


@pytest.mark.parametrize("width", [390, 1366, 2560])
def test_nothing_overflows_the_page(open_page, width):
    """Only the table scrolls sideways."""
    page = open_page(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_narrow_screen_folds_counts_and_filters_away(open_page):
    """The alarm and the table are seen at once; a button, by keys too, brings the rest."""
    page = open_page(width=390)
    folded = [page.locator(name) for name in ("#counts", "#filters", "#legend")]
    for part in folded:
        expect(part).to_be_hidden()
    expect(page.locator(".alarm").first).to_be_visible()
    assert page.locator("#view").bounding_box()["y"] < 230
    button = page.get_by_role("button", name="Details", expanded=False)
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Details", expanded=True)).to_be_visible()
    for part in folded:
        expect(part).to_be_visible()


@pytest.mark.parametrize("fragment", ["feature=fp8", ""])
def test_a_filter_that_is_set_or_sought_is_not_folded_away(open_page, fragment):
    page = open_page(fragment, width=390)
    if not fragment:
        page.keyboard.press("/")
    expect(page.get_by_label("Feature", exact=True)).to_be_visible()


def test_labels_of_a_chart_are_whole_on_a_narrow_screen(open_page):
    page = open_page("view=throughput", width=390)
    label = page.locator("figure.wide svg .role-axis-label text", has_text="batch=8").first
    expect(label).to_be_visible()
    assert "…" not in page.locator("figure.wide svg").text_content()


def test_names_take_the_room_of_a_wall_display(open_page):
    """Titles are read there; on smaller screens the first column stays as it is."""
    widths = [
        open_page(width=width).locator(".grid tbody th").first.bounding_box()["width"]
        for width in (1366, 2560)
    ]
    assert widths == [pytest.approx(280), pytest.approx(800)]


def test_pictures_are_what_their_names_say(call, made):
    page, picture = made
    svg = picture.read_text(encoding="utf-8")
    assert svg.startswith("<svg")
    assert "fp8-gemm" in svg
    assert "<script" not in svg
    for kind in ("versions", "ratios"):
        path = page.with_name(f"{kind}.png")
        done = call("report", "--picture", path, "--chart", kind)
        assert done.code == 0, done.err
        head = path.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        assert min(struct.unpack(">II", head[16:])) > 200
