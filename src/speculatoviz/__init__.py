"""Real, exact speculative decoding that can be watched, measured and taken apart: the public Python API.

    import speculatoviz as sv

    with sv.load(target="qwen2.5-coder-1.5b-instruct", draft="qwen2.5-coder-0.5b-instruct") as pair:
        run = pair.generate("Write a function that merges two sorted lists.", k=4)
        print(run.text, run.metrics.mean_acceptance_length)

docs/python.md describes every name. Importing this package loads nothing: a name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speculatoviz.errors import SpeculatoVizError
    from speculatoviz.lab.certificate import Certificate
    from speculatoviz.lab.pair import Pair, load
    from speculatoviz.lab.run import Round, Run, open_trace, what_if, why
    from speculatoviz.lab.swept import Sweep, open_sweep

__all__ = [
    "Certificate",
    "Pair",
    "Round",
    "Run",
    "SpeculatoVizError",
    "Sweep",
    "load",
    "open_sweep",
    "open_trace",
    "what_if",
    "why",
]

_PLACES = {
    "Certificate": "lab.certificate",
    "Pair": "lab.pair",
    "Round": "lab.run",
    "Run": "lab.run",
    "SpeculatoVizError": "errors",
    "Sweep": "lab.swept",
    "load": "lab.pair",
    "open_sweep": "lab.swept",
    "open_trace": "lab.run",
    "what_if": "lab.run",
    "why": "lab.run",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
