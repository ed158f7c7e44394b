"""What a draft of a published head costs, beside a pass of its target: medians of interleaved pairs, as JSON.

    python scripts/head_cost.py eagle3 qwen2.5-coder-1.5b-instruct --vocabulary 16384
    python scripts/head_cost.py dflash qwen2.5-coder-1.5b-instruct --layers 5 --block 16

The head has the width of its target and layers of its shape, 4-bit weights, and random numbers, which cost what trained
ones do. An EAGLE-3 head has one layer and a vocabulary of its own. A DFlash head drafts all of the target's ids, with
the target's own output matrix, unless --vocabulary is given.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from speculatoviz.config import Settings
from speculatoviz.core.types import Floats
from speculatoviz.heads import dflash_file, dflash_published, eagle3_file, eagle3_published
from speculatoviz.heads.dflash import DflashCache
from speculatoviz.heads.eagle3 import Eagle3Cache
from speculatoviz.heads.gguf_head import HeadTarget
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import Feed
from speculatoviz.models.files.gguf import read
from speculatoviz.models.load import Loading, load_model
from speculatoviz.models.runtime_choice import Use
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.llamacpp_dflash import LlamaCppDflash
from speculatoviz.models.runtimes.llamacpp_eagle3 import LlamaCppEagle3

PROMPT_TOKENS = 60
CELLS = 512


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("kind", choices=("eagle3", "dflash"))
    parser.add_argument("target")
    parser.add_argument("--vocabulary", type=int)
    parser.add_argument("--layers", type=int, default=5, help="of a DFlash head")
    parser.add_argument("--block", type=int, default=16, help="of a DFlash head")
    parser.add_argument("--depth", type=int, default=4, help="of a chain of an EAGLE-3 head")
    parser.add_argument("--pairs", type=int, default=25)
    arguments = parser.parse_args()
    how = Loading(CELLS, Path(Settings().cache_dir), runtime="llamacpp", use=Use(layers=True))
    model = load_model(arguments.target, how, None, lambda *_: None)
    assert isinstance(model, LlamaCppModel)
    with TemporaryDirectory() as folder:
        made = of_blocks if arguments.kind == "dflash" else of_pairs
        print(json.dumps(made(Path(folder), model, arguments) | vars(arguments)))
    model.close()


class Shape:
    """The numbers of the target's layers, and random tensors of their shapes."""

    def __init__(self, model: LlamaCppModel) -> None:
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


def write(folder: Path, tensors: dict[str, Any], config: dict[str, Any]) -> Path:
    """A head as it is published."""
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def of_pairs(folder: Path, model: LlamaCppModel, arguments: argparse.Namespace) -> dict[str, float]:
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
    graph = LlamaCppEagle3(file.path, file.vocabulary, CELLS, usable_cores(), model)
    bench, cache, depth = Bench(model, file.layers), Eagle3Cache(graph), arguments.depth
    features, tokens = bench.features, bench.tokens
    cache.append(features[:-2], tokens[:-1], last=False)

    def draft() -> tuple[float, float, float]:
        (logits, states), first_ms = timed(lambda: cache.append(features[-2:-1], tokens[-2:], last=True))
        begun_s = time.perf_counter()
        for node in range(depth - 1):
            logits, states = cache.grow(states, [int(graph.vocabulary[logits[0].argmax()])], [node - 1])
        each_ms = (time.perf_counter() - begun_s) * 1000 / (depth - 1)
        cache.keep(len(tokens) - 2)
        return first_ms, each_ms, (first_ms + (depth - 1) * each_ms) / depth

    found = bench.medians(draft, ("first_token_ms", "next_token_ms", "token_ms"), arguments.pairs)
    graph.close()
    return found


def of_blocks(folder: Path, model: LlamaCppModel, arguments: argparse.Namespace) -> dict[str, float]:
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
    graph = LlamaCppDflash(file.path, file.vocabulary, file.places, CELLS, usable_cores(), model)
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


class Bench:
    """A prompt in the target, and the inputs of these layers at each of its tokens."""

    def __init__(self, model: LlamaCppModel, layers: tuple[int, ...]) -> None:
        self._model, self._layers, self._context = model, layers, model.open(256)
        self.tokens: list[int] = np.random.default_rng(1).integers(100, 2000, PROMPT_TOKENS).tolist()
        found = model.forward([Feed(self._context, self.tokens, "last", layers=layers)])[0].layers
        assert found is not None
        self.features = found.copy()

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
