"""Figures as SVG, drawn with matplotlib: files with colours of their own, or parts of a page that take the page's."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from speculatoviz.errors import BadRequestError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# matplotlib draws with these colours, and the page's variables take their place.
THEME = {
    "#010101": "var(--text)",
    "#010102": "var(--text-soft)",
    "#010103": "var(--line)",
    "#010104": "var(--bg)",
    "#010105": "var(--time-draft)",
    "#010106": "var(--time-verify)",
    "#010107": "var(--time-network)",
    "#010108": "var(--time-other)",
    "#010109": "var(--series-1)",
    "#01010a": "var(--series-2)",
    "#01010b": "var(--series-3)",
    "#01010c": "var(--series-4)",
    "#01010d": "var(--series-5)",
    "#01010e": "var(--series-6)",
}
INK, SOFT, LINE, PAPER, *_ = THEME
PARTS = tuple(THEME)[4:8]
SERIES = tuple(THEME)[8:]
# Ids of groups, to which nothing refers and which every figure has; and facts of the file.
_DROPPED = re.compile(r' id="[\w.]+_\d+"|<metadata>.*?</metadata>', re.DOTALL)


def require_matplotlib() -> None:
    """Raises BadRequestError if figures cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise BadRequestError(
            "Figures are drawn with matplotlib, which is not installed.", "Run `pip install 'speculatoviz[lab]'`."
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


def themed_svg(draw: Callable[[Figure], None], name: str, title: str, width: float, height: float) -> str:
    """An SVG element for a page that defines the variables of `THEME`; equal drawings give equal elements.

    draw: draws with the colours of `THEME`. name: unique within the page. title: read out in place of the figure.
    Sizes in inches, at 96 pixels an inch.
    """
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = mpl.rc_context(
        {
            "text.color": INK,
            "axes.edgecolor": LINE,
            "axes.labelcolor": SOFT,
            "axes.facecolor": "none",
            "xtick.color": SOFT,
            "ytick.color": SOFT,
            "grid.color": LINE,
            "legend.frameon": False,
            "svg.hashsalt": name,
            "svg.fonttype": "none",
            "font.size": 9,
            "text.parse_math": False,
        }
    )
    with style:
        drawn = Figure(figsize=(width, height), layout="constrained", facecolor="none")
        draw(drawn)
        out = io.StringIO()
        drawn.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    text = _DROPPED.sub("", text[text.index("<svg") :])
    for colour, variable in THEME.items():
        text = text.replace(colour, variable)
    head = f'<svg role="img" aria-labelledby="{name}-title" '
    opened, _, rest = text.removeprefix("<svg ").partition(">")
    return f'{head}{opened}><title id="{name}-title">{_escaped(title)}</title>{rest}'


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
