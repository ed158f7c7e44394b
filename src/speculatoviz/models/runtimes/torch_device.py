"""Where PyTorch computes, and in which number format."""

from __future__ import annotations

import torch

from speculatoviz.errors import ModelError


def torch_device(wanted: str) -> torch.device:
    """The device of a name; auto: a GPU if there is one. Raises ModelError."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"PyTorch cannot compute on {wanted!r} ({reason}).", "Choose auto, cpu or cuda.") from error
    return device


def torch_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """auto: bfloat16 if the hardware computes in it, otherwise float16 on a GPU and float32 on a CPU."""
    if wanted != "auto":
        named: torch.dtype = getattr(torch, wanted)
        return named
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32
