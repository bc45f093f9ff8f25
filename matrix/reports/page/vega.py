"""Vega-Lite by way of vl-convert: its JavaScript for the page, and pictures without a browser."""

from collections.abc import Mapping
from typing import Any

import vl_convert

from matrix.reports.page.specs import SCHEMA

VERSION = "6.4"
assert SCHEMA.endswith(f"/v{VERSION.partition('.')[0]}.json")
SUFFIXES = (".svg", ".png")


def library() -> str:
    """JavaScript that defines `vegaEmbed`, with all it needs; made in a few seconds."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VERSION)


def picture(spec: Mapping[str, Any], suffix: str) -> bytes:
    """A specification as SVG, or as PNG of twice the size for screens of today."""
    svg = vl_convert.vegalite_to_svg(dict(spec), vl_version=VERSION, allowed_base_urls=[])
    return svg.encode() if suffix == ".svg" else vl_convert.svg_to_png(svg, scale=2)
