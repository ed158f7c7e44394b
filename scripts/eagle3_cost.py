"""What a drafted token of an EAGLE-3 head costs, beside a pass of its target: medians of interleaved pairs, as JSON.

    python scripts/eagle3_cost.py qwen2.5-coder-1.5b-instruct --vocabulary 16384

The head has the width and the layer of its target, 4-bit weights, and random numbers: they cost what trained ones do.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from speculatoviz.config import Settings
from speculatoviz.core.types import Floats
from speculatoviz.heads.eagle3 import Eagle3Cache
from speculatoviz.heads.eagle3_file import HeadTarget, read_gguf
from speculatoviz.heads.eagle3_published import converted
from speculatoviz.machine import usable_cores
from speculatoviz.models.base import Feed
from speculatoviz.models.files.gguf import read
from speculatoviz.models.load import Loading, load_model
from speculatoviz.models.runtime_choice import Use
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.runtimes.llamacpp_eagle3 import LlamaCppEagle3

PROMPT_TOKENS = 60


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("target")
    parser.add_argument("--vocabulary", type=int, default=16384)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=25)
    arguments = parser.parse_args()
    how = Loading(512, Path(Settings().cache_dir), runtime="llamacpp", use=Use(layers=True))
    model = load_model(arguments.target, how, None, lambda *_: None)
    assert isinstance(model, LlamaCppModel)
    with TemporaryDirectory() as folder:
        graph, layers = random_head(Path(folder), model, arguments.vocabulary)
        print(json.dumps(measured(model, graph, layers, arguments.depth, arguments.pairs) | vars(arguments)))
    graph.close()
    model.close()


def random_head(folder: Path, model: LlamaCppModel, count: int) -> tuple[LlamaCppEagle3, tuple[int, ...]]:
    """A head of the shape of one of the target's layers, loaded, and the layers it reads."""
    fields, width = read(model.path), model.layer_width
    name = fields.architecture
    heads = fields.integer(f"{name}.attention.head_count") or 1
    kv_heads = fields.integer(f"{name}.attention.head_count_kv") or heads
    inner = fields.integer(f"{name}.feed_forward_length") or 4 * width
    rng = np.random.default_rng(0)

    def random(*shape: int) -> Floats:
        return rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[-1]))

    projected = kv_heads * width // heads
    rows = {"q": width, "k": projected, "v": projected}
    tensors: dict[str, Any] = {
        f"midlayer.self_attn.{part}_proj.weight": random(n, 2 * width) for part, n in rows.items()
    }
    tensors |= {f"midlayer.mlp.{part}_proj.weight": random(inner, width) for part in ("gate", "up")}
    tensors |= {
        f"midlayer.{part}.weight": np.ones(width, np.float32)
        for part in ("input_layernorm", "hidden_norm", "post_attention_layernorm")
    }
    tensors |= {
        "midlayer.self_attn.o_proj.weight": random(width, width),
        "midlayer.mlp.down_proj.weight": random(width, inner),
        "fc.weight": random(width, 3 * width),
        "norm.weight": np.ones(width, np.float32),
        "lm_head.weight": random(count, width),
        "d2t": np.zeros(count, np.int64),
    }
    save_file(tensors, folder / "model.safetensors")
    config = {
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": inner,
        "vocab_size": model.tokenizer.n_vocab,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    target = HeadTarget(model.description.name, model.layer_count, width, model.tokenizer.n_vocab)
    file = read_gguf(converted(folder, target, folder), target)
    return LlamaCppEagle3(file.path, file.vocabulary, 512, usable_cores(), model), file.layers


def measured(
    model: LlamaCppModel, graph: LlamaCppEagle3, layers: tuple[int, ...], depth: int, pairs: int
) -> dict[str, float]:
    """Milliseconds, and the median of the paired ratios. depth: drafted tokens of a chain."""
    context, cache = model.open(256), Eagle3Cache(graph)
    tokens = np.random.default_rng(1).integers(100, 2000, PROMPT_TOKENS).tolist()
    features = model.forward([Feed(context, tokens, "last", layers=layers)])[0].layers
    assert features is not None
    cache.append(features[:-2], tokens[:-1], last=False)
    rows = []
    for _ in range(pairs + 2):
        with_layers, without = one_pass_ms(model, context, layers), one_pass_ms(model, context, ())
        begun_s = time.perf_counter()
        logits, states = cache.append(features[-2:-1], tokens[-2:], last=True)
        first_ms = (time.perf_counter() - begun_s) * 1000
        begun_s = time.perf_counter()
        for node in range(depth - 1):
            logits, states = cache.grow(states, [int(graph.vocabulary[logits[0].argmax()])], [node - 1])
        each_ms = (time.perf_counter() - begun_s) * 1000 / (depth - 1)
        cache.keep(len(tokens) - 2)
        rows.append((without, with_layers, first_ms, each_ms, (first_ms + (depth - 1) * each_ms) / depth / without))
    names = ("pass_ms", "pass_with_layers_ms", "first_token_ms", "next_token_ms", "token_per_pass")
    return dict(zip(names, np.median(rows[2:], axis=0).round(4).tolist(), strict=True))


def one_pass_ms(model: LlamaCppModel, context: Any, layers: tuple[int, ...]) -> float:
    """A pass over one token after the prompt, in milliseconds."""
    begun_s = time.perf_counter()
    model.forward([Feed(context, [7], layers=layers)])
    taken_ms = (time.perf_counter() - begun_s) * 1000
    context.keep(PROMPT_TOKENS)
    return taken_ms


if __name__ == "__main__":
    main()
