"""What taking back tokens costs, counted in passes instead of time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from speculatoviz.bench.models import CONTEXT_TOKENS, VERIFIED, rewind_ms
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.window import Window
from support.tiny_recurrent import write_lfm2, write_mamba2


class Counted(LlamaCppModel):
    """Counts its passes."""

    passes = 0

    def _decode(self, hidden: bool) -> int:
        self.passes += 1
        return super()._decode(hidden)


@pytest.mark.parametrize(("write", "extra"), [(write_mamba2, 1.0), (write_lfm2, 0.0)], ids=["copies", "snapshots"])
def test_a_rewind_costs_a_pass_without_snapshots(write: Callable[[Path], Path], extra: float, tmp_path: Path) -> None:
    model = Counted(write(tmp_path / "tiny.gguf"), 512)
    window = Window(model, 300)
    ids = [3 + place % 200 for place in range(CONTEXT_TOKENS + VERIFIED)]
    try:
        assert rewind_ms(window, ids, lambda: model.passes / 1e3) == pytest.approx(extra)
    finally:
        window.close()
        model.close()
