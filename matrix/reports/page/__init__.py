"""Tables → one HTML file that works from disk, without a network: a summary, tables, evidence.

The template, the style sheet and the scripts are files in `assets`; the data are in the page as
JSON. Scripts make text of it, never markup, and the page's policy lets nothing else run or load.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from matrix.artefacts import Artefacts
from matrix.features import Feature
from matrix.reports.page import charts, data, evidence, specs
from matrix.reports.text import clean
from matrix.trend import Series

if TYPE_CHECKING:
    from matrix.tables import Tables

SCRIPTS = ("state.js", "grid.js", "panel.js", "views.js", "main.js")


def render(
    tables: "Tables",
    *,
    declared: Iterable[Feature] = (),
    artefacts: Mapping[evidence.Key, Artefacts] | None = None,
    planned: Sequence[str] = (),
    scope: str = "",
    library: str = "",
    series: Iterable[Series] = (),
) -> str:
    """Render the page.

    `planned` are the cells of the matrix file, `series` what charts over time show; `library` is
    JavaScript that defines `vegaEmbed`: without it there are no charts.
    """
    style = _asset("page.css")
    script = "\n".join(['"use strict";', "(() => {", *map(_asset, SCRIPTS), "})();"])
    made = _data(tables, list(declared), planned, charts.all_of(tables, series))
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(_asset("page.html.j2"))
    return template.render(
        policy=_policy(style, script, library),
        title=clean(tables.summary.sentence, 80),
        alarm=tables.summary.alarm,
        sentence=tables.summary.sentence,
        when=_when(tables),
        scope=clean(scope.replace("`", ""), 300),
        style=_raw(style, "style"),
        script=_raw(script, "script"),
        library=_raw(library, "script"),
        data=Markup(data.for_script(made)),  # noqa: S704  it has no sign of markup
        evidence=Markup(data.for_script(evidence.build(tables, artefacts or {}))),  # noqa: S704
    )


def _data(
    tables: "Tables",
    declared: list[Feature],
    planned: Sequence[str],
    drawn: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    marks = data.Marks()
    made: dict[str, Any] = {
        "columns": data.columns(tables),
        "features": data.features(tables, declared, marks),
        "suites": data.suites(tables, marks),
        "workloads": data.throughput(tables, marks),
        "untested": data.untested(tables, planned),
        "causes": data.root_causes(tables),
        "baselines": data.baselines(tables),
        "charts": [{**chart, "spec": specs.spec(chart)} for chart in drawn],
    }
    return made | {"marks": marks.table()}


def _asset(name: str) -> str:
    return (files(__name__) / "assets" / name).read_text(encoding="utf-8")


def _raw(text: str, tag: str) -> Markup:
    """Our own text inside an element that knows no escapes; raises `ValueError` if it would end."""
    if re.search(rf"</{tag}|<!--", text, re.IGNORECASE):
        raise ValueError(f"the text of a <{tag}> would end it")
    return Markup(text)  # noqa: S704  checked above, and never a cell's


def _policy(style: str, script: str, library: str) -> str:
    """A content security policy under which only these texts are style and script."""
    scripts = " ".join(_digest(text) for text in (script, library) if text)
    rules = {"default-src": "'none'", "script-src": scripts, "style-src": _digest(style)}
    rules |= {"base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _when(tables: "Tables") -> str:
    """The days of the oldest and the newest result."""
    days = sorted(
        {str(day)[:10] for name in ("first", "last") for day in tables.executions[name] if day}
    )
    return clean(" to ".join(dict.fromkeys([*days[:1], *days[-1:]]))) or "never"
