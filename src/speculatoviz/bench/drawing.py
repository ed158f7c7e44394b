"""Figures as SVG files, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from speculatoviz.errors import BadRequestError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def require_matplotlib() -> None:
    """Raises BadRequestError if figures cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise BadRequestError(
            "Figures are drawn with matplotlib, which is not installed.", "Install it: pip install matplotlib"
        )


@contextmanager
def svg_figure(out: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure to draw on, which is then written to `out`; equal drawings give equal files. Sizes in inches."""
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "speculatoviz", "svg.fonttype": "none", "font.size": 9}):
        drawn = Figure(figsize=(width, height), layout="constrained")
        yield drawn
        drawn.savefig(out, format="svg", metadata={"Date": None}, facecolor="white")
