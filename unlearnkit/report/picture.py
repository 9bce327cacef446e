"""Picture of a run: forgetting against utility."""

from __future__ import annotations

import vl_convert

from unlearnkit.report.bundle import VEGA_LITE
from unlearnkit.report.charts import trade_off
from unlearnkit.report.contents import Contents
from unlearnkit.report.page import embedded
from unlearnkit.verdict.values import metric_rows

_WIDTH = 640


def run_picture(contents: Contents) -> bytes | None:
    """Forgetting against utility of the first suite that measures both, as PNG; else None."""
    summary = contents.summary
    found = metric_rows(summary["suites"], contents.intervals, summary.get("metrics"))
    charts = [chart for rows in found.values() if (chart := trade_off(rows)) is not None]
    if not charts:
        return None
    spec = {**embedded(charts[0].spec), "width": _WIDTH, "background": "white"}
    return vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=2)
