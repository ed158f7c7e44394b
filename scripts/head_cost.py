"""What a draft of a head costs, beside a pass of its target: medians of interleaved pairs, as JSON.

    python scripts/head_cost.py eagle3 qwen2.5-coder-1.5b-instruct --vocabulary 16384
    python scripts/head_cost.py dflash qwen2.5-coder-1.5b-instruct --layers 5 --block 16
    python scripts/head_cost.py eagle smollm2-135m-instruct --vocabulary 8192
    python scripts/head_cost.py eagle3 qwen2.5-coder-1.5b-instruct --runtime ik

The head has the width of its target and random numbers, which cost what trained ones do. EAGLE-3 and DFlash heads have
layers of the target's shape and 4-bit weights, EAGLE and Medusa heads the shape that `speculatoviz train` gives them
and 8-bit weights. EAGLE-3, EAGLE and Medusa heads have a vocabulary of their own. A DFlash head drafts all of the
target's ids, with the target's own output matrix, unless --vocabulary is given.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# As `models.load` sets it, before the libraries: their threads would spin into the next pass of the other one.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import numpy as np
from safetensors.numpy import save_file

from speculatoviz.config import Settings
from speculatoviz.core.types import Floats, Ints
from speculatoviz.heads import dflash_file, dflash_published, eagle, eagle3_file, eagle3_published, medusa
from speculatoviz.heads.dflash import DflashCache
from speculatoviz.heads.eagle import EagleHead
from speculatoviz.heads.eagle3 import Eagle3Cache
from speculatoviz.heads.file import HeadFile, HeadKind
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.heads.medusa import MedusaHeads
from speculatoviz.heads.pairs import PairCache
from speculatoviz.heads.rows import GgufRows
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import Feed
from speculatoviz.models.files.gguf import read
from speculatoviz.models.files.names import OF_GGUF
from speculatoviz.models.load import Loading, load_model
from speculatoviz.models.runtime_choice import Use
from speculatoviz.models.runtimes.ik import IkModel
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.llamacpp_dflash import LlamaCppDflash
from speculatoviz.models.runtimes.llamacpp_eagle3 import LlamaCppEagle3

PROMPT_TOKENS = 60
CELLS = 512
GgufModel = LlamaCppModel | IkModel


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("kind", choices=tuple(KINDS))
    parser.add_argument("target")
    parser.add_argument("--vocabulary", type=int)
    parser.add_argument("--layers", type=int, default=5, help="of a DFlash head")
    parser.add_argument("--block", type=int, default=16, help="of a DFlash head")
    parser.add_argument("--depth", type=int, default=4, help="of a chain, or the number of Medusa heads")
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--runtime", choices=OF_GGUF, default="llamacpp", help="of the target")
    arguments = parser.parse_args()
    how = Loading(
        CELLS, Path(Settings().cache_dir), runtime=arguments.runtime, use=Use(hidden_for="a head", layers=True)
    )
    model = load_model(arguments.target, how, None, lambda *_: None)
    assert isinstance(model, LlamaCppModel | IkModel)
    with TemporaryDirectory() as folder:
        print(json.dumps(KINDS[arguments.kind](Path(folder), model, arguments) | vars(arguments)))
    model.close()


class Shape:
    """The numbers of the target's layers, and random tensors of their shapes."""

    def __init__(self, model: GgufModel) -> None:
        fields, self.width = read(model.path), model.layer_width
        name = fields.architecture
        self.heads = fields.integer(f"{name}.attention.head_count") or 1
        self.kv_heads = fields.integer(f"{name}.attention.head_count_kv") or self.heads
        self.inner = fields.integer(f"{name}.feed_forward_length") or 4 * self.width
        self.target = HeadTarget(model.description.name, model.layer_count, self.width, model.tokenizer.n_vocab)
        self._rng = np.random.default_rng(0)

    def random(self, *shape: int) -> Floats:
        return self._rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[-1]))

    def ones(self, count: int = 0) -> Floats:
        return np.ones(count or self.width, np.float32)

    def layer(self, before: str, inputs: int) -> dict[str, Any]:
        """Tensors of one layer, whose attention reads `inputs` numbers."""
        projected = self.kv_heads * self.width // self.heads
        rows = {"q": self.width, "k": projected, "v": projected}
        own: dict[str, Any] = {
            f"{before}.self_attn.{part}_proj.weight": self.random(count, inputs) for part, count in rows.items()
        }
        own |= {f"{before}.mlp.{part}_proj.weight": self.random(self.inner, self.width) for part in ("gate", "up")}
        own |= {f"{before}.{part}.weight": self.ones() for part in ("input_layernorm", "post_attention_layernorm")}
        return own | {
            f"{before}.self_attn.o_proj.weight": self.random(self.width, self.width),
            f"{before}.mlp.down_proj.weight": self.random(self.width, self.inner),
        }

    def config(self) -> dict[str, Any]:
        return {
            "hidden_size": self.width,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "intermediate_size": self.inner,
            "vocab_size": self.target.n_vocab,
        }


def shared(model: GgufModel) -> LlamaCppModel | Path:
    """What lends its matrices to a head that has none of its own."""
    return model if isinstance(model, LlamaCppModel) else model.path


def write(folder: Path, tensors: dict[str, Any], config: dict[str, Any]) -> Path:
    """A head as it is published."""
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def of_pairs(folder: Path, model: GgufModel, arguments: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of an EAGLE-3 head: the first token of a chain, each further one, and their mean by plain passes."""
    shape, count = Shape(model), arguments.vocabulary or 16384
    tensors = shape.layer("midlayer", 2 * shape.width) | {
        "midlayer.hidden_norm.weight": shape.ones(),
        "fc.weight": shape.random(shape.width, 3 * shape.width),
        "norm.weight": shape.ones(),
        "lm_head.weight": shape.random(count, shape.width),
        "d2t": np.zeros(count, np.int64),
    }
    path = eagle3_published.converted(write(folder, tensors, shape.config()), shape.target, folder)
    file = eagle3_file.read_gguf(path, shape.target)
    graph = LlamaCppEagle3(file.path, file.vocabulary, CELLS, usable_cores(), shared(model))
    bench = Bench(model, file.layers)
    found = of_a_chain(bench, Eagle3Cache(graph), bench.features, graph.vocabulary, arguments)
    graph.close()
    return found


def of_a_chain(
    bench: Bench, cache: PairCache, states: Floats, vocabulary: Ints, arguments: argparse.Namespace
) -> dict[str, float]:
    """Of a head that continues its own states. states: the target's, at the tokens of the prompt."""
    tokens, depth = bench.tokens, arguments.depth
    cache.append(states[:-2], tokens[:-1], last=False)

    def draft() -> tuple[float, float, float]:
        (logits, own), first_ms = timed(lambda: cache.append(states[-2:-1], tokens[-2:], last=True))
        begun_s = time.perf_counter()
        for node in range(depth - 1):
            logits, own = cache.grow(own, [int(vocabulary[logits[0].argmax()])], [node - 1])
        each_ms = (time.perf_counter() - begun_s) * 1000 / (depth - 1)
        cache.keep(len(tokens) - 2)
        return first_ms, each_ms, (first_ms + (depth - 1) * each_ms) / depth

    return bench.medians(draft, ("first_token_ms", "next_token_ms", "token_ms"), arguments.pairs)


def of_states(folder: Path, model: GgufModel, arguments: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of an EAGLE head, as `of_pairs`."""
    del folder
    width = 64
    heads = max(1, model.layer_width // width)
    numbers = {"heads": heads, "width": width, "inner": 8 * model.layer_width // 3, "window": 512, "theta": 1e4}
    shapes = eagle.shapes(model.layer_width, heads, width, int(numbers["inner"]))
    file = head_file("eagle", model, shapes, numbers, arguments.vocabulary or 8192)
    head = EagleHead(file, GgufRows(model.path, model.tokenizer.n_vocab), usable_cores())
    states = Shape(model).random(PROMPT_TOKENS, model.layer_width)
    return of_a_chain(Bench(model, ()), head.open(), states, head.vocabulary, arguments)


def of_heads(folder: Path, model: GgufModel, arguments: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of all Medusa heads, and of one of their tokens."""
    del folder
    shapes, numbers = medusa.shapes(model.layer_width, arguments.depth, 1), {"heads": arguments.depth, "blocks": 1}
    file = head_file("medusa", model, shapes, numbers, arguments.vocabulary or 8192)
    heads = MedusaHeads(file, GgufRows(model.path, model.tokenizer.n_vocab), usable_cores())
    state = Shape(model).random(model.layer_width)

    def draft() -> tuple[float, float]:
        _, draft_ms = timed(lambda: heads.logits(state, heads.count))
        return draft_ms, draft_ms / heads.count

    return Bench(model, ()).medians(draft, ("draft_ms", "token_ms"), arguments.pairs)


def head_file(
    kind: HeadKind,
    model: GgufModel,
    shapes: Mapping[str, tuple[int, ...]],
    numbers: dict[str, float],
    count: int,
) -> HeadFile:
    """Random heads with `count` ids."""
    shape = Shape(model)
    tensors = {name: shape.random(*own) if len(own) > 1 else shape.ones(*own) for name, own in shapes.items()}
    ids = np.arange(count, dtype=np.int32)
    return HeadFile(kind, model.description.name, model.tokenizer.fingerprint, shape.width, ids, tensors, numbers)


def of_blocks(folder: Path, model: GgufModel, arguments: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of a DFlash head: reading a round's three tokens, a block, both together, and a prompt's token."""
    shape, count, layers = Shape(model), arguments.layers, list(range(1, 6))
    tensors: dict[str, Any] = {
        "fc.weight": shape.random(shape.width, len(layers) * shape.width),
        "hidden_norm.weight": shape.ones(),
        "norm.weight": shape.ones(),
    }
    for layer in range(count):
        own = {f"layers.{layer}.self_attn.{part}_norm.weight": shape.ones(shape.width // shape.heads) for part in "qk"}
        tensors |= shape.layer(f"layers.{layer}", shape.width) | own
    if arguments.vocabulary is not None:
        tensors["lm_head.weight"] = shape.random(arguments.vocabulary, shape.width)
        tensors["d2t"] = np.zeros(arguments.vocabulary, np.int64)
    block = {"block_size": arguments.block, "mask_token_id": 0, "target_layer_ids": [layer - 1 for layer in layers]}
    config = shape.config() | {"num_hidden_layers": count, "dflash_config": block}
    path = dflash_published.converted(write(folder, tensors, config), shape.target, folder)
    file = dflash_file.read_gguf(path, shape.target)
    graph = LlamaCppDflash(file.path, file.vocabulary, file.places, CELLS, usable_cores(), shared(model))
    bench, cache = Bench(model, file.layers), DflashCache(graph)

    def draft() -> tuple[float, float, float, float]:
        cache.keep(0)
        _, prompt_ms = timed(lambda: cache.append(bench.features[:-3]))
        _, read_ms = timed(lambda: cache.append(bench.features[-3:]))
        _, block_ms = timed(lambda: cache.block(7))
        return prompt_ms / (PROMPT_TOKENS - 3), read_ms, block_ms, read_ms + block_ms

    found = bench.medians(draft, ("prompt_token_ms", "read_ms", "block_ms", "draft_ms"), arguments.pairs)
    graph.close()
    return found


KINDS = {"eagle3": of_pairs, "dflash": of_blocks, "eagle": of_states, "medusa": of_heads}


class Bench:
    """A prompt in the target, and the inputs of these layers, if any, at each of its tokens."""

    def __init__(self, model: GgufModel, layers: tuple[int, ...]) -> None:
        self._model, self._layers, self._context = model, layers, model.open(256)
        self.tokens: list[int] = np.random.default_rng(1).integers(100, 2000, PROMPT_TOKENS).tolist()
        found = model.forward([Feed(self._context, self.tokens, "last", layers=layers)])[0].layers
        self.features = np.empty((PROMPT_TOKENS, 0), np.float32) if found is None else found.copy()

    def medians(self, draft: Callable[[], tuple[float, ...]], names: tuple[str, ...], pairs: int) -> dict[str, float]:
        """Of a plain pass with and without the layers, of a draft's times, and of the last one by plain passes."""
        rows = []
        for _ in range(pairs + 2):
            with_layers, without = self._pass_ms(self._layers), self._pass_ms(())
            own = draft()
            rows.append((without, with_layers, *own, own[-1] / without))
        named = ("pass_ms", "pass_with_layers_ms", *names, f"{names[-1].removesuffix('_ms')}_per_pass")
        return dict(zip(named, np.median(rows[2:], axis=0).round(4).tolist(), strict=True))

    def _pass_ms(self, layers: tuple[int, ...]) -> float:
        """A pass over one token after the prompt, in milliseconds."""
        _, taken_ms = timed(lambda: self._model.forward([Feed(self._context, [7], layers=layers)]))
        self._context.keep(PROMPT_TOKENS)
        return taken_ms


def timed(compute: Callable[[], Any]) -> tuple[Any, float]:
    """What is computed, and the milliseconds that it took."""
    begun_s = time.perf_counter()
    result = compute()
    return result, (time.perf_counter() - begun_s) * 1000


if __name__ == "__main__":
    main()
