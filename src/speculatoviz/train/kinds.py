"""The kinds of heads that can be trained: what each begins with, and what it reads of the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from speculatoviz.core.types import Floats
from speculatoviz.errors import HeadError, TrainError
from speculatoviz.heads import eagle3_folder
from speculatoviz.heads.eagle3_file import TYPICAL_LAYERS, typical_layers
from speculatoviz.heads.eagle3_folder import Eagle3Head, Eagle3Shape
from speculatoviz.heads.file import HeadFile, HeadKind, Shapes, load, require_shapes
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.heads.rows import GgufRows
from speculatoviz.models.base import Tokenizer
from speculatoviz.models.files.gguf import GgufFile
from speculatoviz.train import from_eagle
from speculatoviz.train.eagle import EagleLoss, EagleModule, EagleShape
from speculatoviz.train.eagle3 import Eagle3Loss, Eagle3Module
from speculatoviz.train.fit import TrainableHead
from speculatoviz.train.job import LAYERED, TrainJob
from speculatoviz.train.medusa import MedusaLoss, MedusaModule, MedusaShape
from speculatoviz.train.p_eagle import PEagleModule
from speculatoviz.train.store import Dialogue
from speculatoviz.train.target import TargetMatrices

RATES: Mapping[str, float] = {"eagle": 3e-3, "medusa": 6e-3, "eagle3": 3e-3, "p-eagle": 3e-3}
_FEWEST_LAYERS = 7  # of a target: the three inner layers that a head reads by default are different ones

Begun = HeadFile | Eagle3Head


def begun(job: TrainJob, tokenizer: Tokenizer, rows: GgufRows, file: GgufFile) -> Begun | None:
    """The head that the training begins with, if any. Raises HeadError if it does not fit the target."""
    if job.begin_with is None:
        return None
    if job.kind not in LAYERED or _is_eagle(job):
        kind: HeadKind = "medusa" if job.kind == "medusa" else "eagle"
        return load(job.begin_with, kind, tokenizer.fingerprint, rows.hidden_size, tokenizer.n_vocab)
    target = HeadTarget(job.target, _layer_count(file), rows.hidden_size, tokenizer.n_vocab)
    head = eagle3_folder.load(job.begin_with, target, tokenizer.fingerprint)
    if head.kind != job.kind:
        raise HeadError(
            f"{job.begin_with} holds a head that `speculatoviz train {head.kind}` wrote.",
            f"Name one of {job.kind} with --begin-with.",
        )
    return head


def _is_eagle(job: TrainJob) -> bool:
    """Whether an EAGLE-3 head is to begin with an EAGLE head, which is a file."""
    return job.kind == "eagle3" and job.begin_with is not None and job.begin_with.suffix == ".safetensors"


def layers(job: TrainJob, file: GgufFile, begun: Begun | None) -> tuple[int, ...]:
    """The inner layers whose inputs the head reads. Raises TrainError if the target has too few."""
    if job.kind not in LAYERED:
        return ()
    if isinstance(begun, Eagle3Head):
        return _layers_of(begun, job)
    count = _layer_count(file)
    if count < _FEWEST_LAYERS:
        raise TrainError(
            f"{job.target} has {count} layers, and the head reads the inputs of three inner ones.",
            f"Choose a target with at least {_FEWEST_LAYERS} layers, or train eagle.",
        )
    if job.layers is None:
        return typical_layers(count)
    if len(job.layers) != TYPICAL_LAYERS or sorted(set(job.layers) & set(range(1, count))) != list(job.layers):
        raise TrainError(
            f"--layers {','.join(map(str, job.layers))} does not name three inner layers of {job.target}.",
            f"Name three different numbers from 1 to {count - 1}, in ascending order.",
        )
    return job.layers


def _layers_of(begun: Eagle3Head, job: TrainJob) -> tuple[int, ...]:
    if job.layers not in {None, begun.layers}:
        raise TrainError(
            f"{job.begin_with} reads the layers {', '.join(map(str, begun.layers))}.",
            "Leave out --layers, or train a new head.",
        )
    return begun.layers


def mask(job: TrainJob, tokenizer: Tokenizer, begun: Begun | None) -> int | None:
    """The id at the masked places of a draft: a token that ends a text, which no draft goes on after."""
    if job.kind != "p-eagle":
        return None
    if isinstance(begun, Eagle3Head) and begun.masked is not None:
        return begun.masked.token
    return min(tokenizer.eos_ids, default=0)


def module(
    job: TrainJob, target: TargetMatrices, begun: Begun | None, mask: int | None, dialogues: Sequence[Dialogue]
) -> TrainableHead:
    """A head to train, in the memory of the target's matrices: a new one, or with the weights of `begun`.

    dialogues: to train on.
    """
    head: nn.Module
    if job.kind == "eagle3" and isinstance(begun, HeadFile):
        return _from_eagle(job, target, begun, dialogues)
    if job.kind == "medusa":
        head = MedusaModule(target, MedusaShape(), MedusaLoss(), job.seed)
    elif job.kind in LAYERED:
        shape, loss = _shape(target, begun), Eagle3Loss(job.unroll)
        head = Eagle3Module(target, shape, loss, job.seed)
        if mask is not None:
            head = PEagleModule(target, shape, loss, job.seed, mask)
    else:
        head = EagleModule(target, _eagle_shape(target, begun), EagleLoss(), job.seed)
    placed: TrainableHead = head.to(target.device)
    if begun is not None:
        copy_weights(placed, begun.tensors, job.kind)
    return placed


def _eagle_shape(target: TargetMatrices, begun: Begun | None) -> EagleShape:
    if not isinstance(begun, HeadFile):
        width = 64
        return EagleShape(max(1, target.hidden_size // width), width, inner=8 * target.hidden_size // 3)
    heads, width = int(begun.number("heads", 1, 1024)), int(begun.number("width", 2, 1024))
    inner, window = (int(begun.number(name, 1, 1 << 20)) for name in ("inner", "window"))
    return EagleShape(heads, width, inner, window, begun.number("theta", 1.0, 1e9))


def _from_eagle(job: TrainJob, target: TargetMatrices, begun: HeadFile, dialogues: Sequence[Dialogue]) -> Eagle3Module:
    eagle = EagleModule(target, _eagle_shape(target, begun), EagleLoss(), job.seed).to(target.device)
    copy_weights(eagle, begun.tensors, "eagle")
    head = Eagle3Module(target, from_eagle.shape(begun), Eagle3Loss(job.unroll), job.seed)
    with torch.no_grad():
        for name, weight in from_eagle.weights(eagle, target, dialogues, job.seed).items():
            head.weights[name].copy_(weight)
    head.to(target.device)
    return head


def _shape(target: TargetMatrices, begun: Begun | None) -> Eagle3Shape:
    return begun.shape if isinstance(begun, Eagle3Head) else Eagle3Shape.of(target.hidden_size)


def copy_weights(head: TrainableHead, tensors: Mapping[str, Floats], kind: str) -> None:
    """Give a head the weights of a file. Raises HeadError if they have other names or shapes."""
    expected: Shapes = {name: tuple(weight.shape) for name, weight in head.weights.items()}
    require_shapes(tensors, expected, kind)
    with torch.no_grad():
        for name, weight in head.weights.items():
            weight.copy_(torch.from_numpy(tensors[name]))
            if name in head.scales:
                weight.mul_(head.scales[name])


def file_tensors(head: TrainableHead, weights: Mapping[str, torch.Tensor]) -> dict[str, Floats]:
    """float32: weights of a head as its file holds them."""
    result = dict[str, Floats]()
    for name, weight in weights.items():
        tensor = weight.detach().float()
        result[name] = (tensor / head.scales[name] if name in head.scales else tensor).cpu().numpy()
    return result


def _layer_count(file: GgufFile) -> int:
    count = file.integer(f"{file.architecture}.block_count")
    if count is None:
        raise HeadError(f"{file.path.name} does not state its number of layers.", "Fetch the target again.")
    return count
