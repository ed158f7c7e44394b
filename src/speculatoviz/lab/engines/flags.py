"""The flags of engines that concern speculation, as data. Names are those of the releases in `names.ENGINES`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Server = Literal["vllm", "sglang", "llama.cpp"]


class Flag(NamedTuple):
    """A flag under all of its names, the usual one first. takes: how many values follow it."""

    names: tuple[str, ...]
    takes: int = 1


class Table(NamedTuple):
    """One engine's flags.

    flags: those of the release. removed: flags of earlier releases, and what to write instead. renamed: earlier names
    that still work, and the present one. beginnings: how the flags begin that this table claims to know all of.
    others: flags beside speculation that a check reads.
    """

    flags: tuple[Flag, ...]
    removed: Mapping[str, str]
    renamed: Mapping[str, str]
    beginnings: tuple[str, ...]
    others: tuple[Flag, ...]


def _flags(*names: str, takes: int = 1) -> tuple[Flag, ...]:
    """One flag for each text; its names stand with spaces between them."""
    return tuple(Flag(tuple(text.split()), takes) for text in names)


def _same(instead: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, instead)


# --- vLLM ---------------------------------------------------------------------------------------------

_IN_CONFIG = "write {} inside --speculative-config"

VLLM = Table(
    _flags(
        "--speculative-config -sc",
        "--spec-method",
        "--spec-model",
        "--spec-tokens",
        "--per-request-spec-decode-metrics",
    ),
    {
        "--speculative-model": _IN_CONFIG.format('"model"'),
        "--num-speculative-tokens": _IN_CONFIG.format('"num_speculative_tokens"'),
        "--speculative-model-quantization": _IN_CONFIG.format('"quantization"'),
        "--speculative-draft-tensor-parallel-size": _IN_CONFIG.format('"draft_tensor_parallel_size"'),
        "--speculative-max-model-len": _IN_CONFIG.format('"max_model_len"'),
        "--ngram-prompt-lookup-max": _IN_CONFIG.format('"prompt_lookup_max"'),
        "--ngram-prompt-lookup-min": _IN_CONFIG.format('"prompt_lookup_min"'),
        "--spec-decoding-acceptance-method": _IN_CONFIG.format('"rejection_sample_method"'),
        "--speculative-disable-by-batch-size": _IN_CONFIG.format('"num_speculative_tokens_per_batch_size"'),
        **_same(
            "leave it out",
            "--speculative-disable-mqa-scorer",
            "--disable-logprobs-during-spec-decoding",
            "--use-v2-block-manager",
            "--num-lookahead-slots",
            "--typical-acceptance-sampler-posterior-threshold",
            "--typical-acceptance-sampler-posterior-alpha",
        ),
    },
    {},
    ("--spec", "--ngram"),
    _flags("--max-model-len", "--override-generation-config", "--model"),
)

VLLM_METHODS = (
    *("ngram", "ngram_gpu", "suffix", "draft_model", "eagle", "eagle3", "mtp", "dflash", "dspark"),
    *("custom_class", "extract_hidden_states"),
)
VLLM_KEYS = (
    *("method", "model", "num_speculative_tokens", "num_speculative_tokens_per_batch_size"),
    *("draft_tensor_parallel_size", "quantization", "kv_cache_dtype", "max_model_len", "revision", "code_revision"),
    *("prompt_lookup_min", "prompt_lookup_max", "parallel_drafting", "use_heterogeneous_vocab"),
    *("suffix_decoding_max_tree_depth", "suffix_decoding_max_cached_requests", "suffix_decoding_max_spec_factor"),
    *("suffix_decoding_min_token_prob", "draft_sample_method", "rejection_sample_method"),
    *("synthetic_acceptance_rates", "synthetic_acceptance_length", "enable_adaptive_verification"),
    *("enforce_eager", "moe_backend", "attention_backend", "draft_load_config", "disable_padded_drafter_batch"),
    *("disable_eagle_block_drop", "use_local_argmax_reduction", "index_share_for_mtp_iteration", "dspark_draft_topk"),
)
VLLM_KEYS_REMOVED: Mapping[str, str] = {
    "disable_by_batch_size": "write num_speculative_tokens_per_batch_size, such as [[1, 16, 4], [17, 256, 0]]",
    "speculative_token_tree": "leave it out: drafts are chains",
    "synthetic_acceptance_rate": "write synthetic_acceptance_rates, one rate for each position",
    "tensor_parallel_size": "write draft_tensor_parallel_size",
}
VLLM_METHODS_REMOVED: Mapping[str, str] = {
    "medusa": "use a published EAGLE-3 head with the method eagle3",
    "mlp_speculator": "use a published EAGLE-3 head with the method eagle3",
}

# --- SGLang -------------------------------------------------------------------------------------------

SGLANG_ALGORITHMS = ("EAGLE", "EAGLE3", "NEXTN", "STANDALONE", "NGRAM", "DFLASH", "DSPARK", "UNO")

SGLANG = Table(
    (
        *_flags(
            "--speculative-algorithm",
            "--speculative-draft-model-path --speculative-draft-model",
            "--speculative-draft-model-revision",
            "--speculative-draft-model-quantization",
            "--speculative-draft-load-format",
            "--speculative-draft-attention-backend",
            "--speculative-draft-kv-cache-dtype",
            "--speculative-draft-window-size",
            "--speculative-num-steps",
            "--speculative-eagle-topk",
            "--speculative-num-draft-tokens",
            "--speculative-accept-threshold-single",
            "--speculative-accept-threshold-acc",
            "--speculative-token-map",
            "--speculative-attention-mode",
            "--speculative-moe-runner-backend",
            "--speculative-moe-a2a-backend",
            "--speculative-adaptive-config",
            "--speculative-dflash-block-size",
            "--speculative-dspark-block-size",
            "--speculative-dspark-confidence-sts-path",
            "--speculative-dspark-sps-table-path",
            "--speculative-domino-candidate-pool-size",
            "--speculative-ngram-min-bfs-breadth",
            "--speculative-ngram-max-bfs-breadth",
            "--speculative-ngram-match-type",
            "--speculative-ngram-max-trie-depth",
            "--speculative-ngram-capacity",
            "--speculative-ngram-external-corpus-path",
            "--speculative-ngram-external-sam-budget",
            "--speculative-ngram-external-corpus-max-tokens",
            "--spec-trace-dir",
        ),
        *_flags(
            "--speculative-use-rejection-sampling",
            "--speculative-use-block-verification",
            "--speculative-adaptive",
            "--speculative-skip-dp-mlp-sync",
            "--speculative-dspark-align-verify-tokens-to-graph-tier",
            takes=0,
        ),
    ),
    _same(
        "leave it out: --speculative-ngram-max-trie-depth bounds the matches",
        "--speculative-ngram-min-match-window-size",
        "--speculative-ngram-max-match-window-size",
        "--speculative-ngram-branch-length",
    ),
    {"--speculative-dflash-draft-window-size": "--speculative-draft-window-size"},
    ("--spec",),
    _flags("--context-length", "--model-path --model"),
)

# --- llama-server -------------------------------------------------------------------------------------

LLAMACPP_TYPES = (
    *("none", "draft-simple", "draft-eagle3", "draft-mtp", "draft-dflash", "draft-dspark"),
    *("ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod", "ngram-cache"),
)

LLAMACPP = Table(
    (
        *_flags(
            "--spec-type",
            "--spec-draft-model -md --model-draft",
            "--spec-draft-hf -hfd -hfrd --hf-repo-draft",
            "--spec-draft-n-max",
            "--spec-draft-n-min",
            "--spec-draft-p-min --draft-p-min",
            "--spec-draft-p-split --draft-p-split",
            "--spec-draft-sampling",
            "--spec-draft-ngl -ngld --gpu-layers-draft --n-gpu-layers-draft",
            "--spec-draft-device -devd --device-draft",
            "--spec-draft-type-k -ctkd --cache-type-k-draft",
            "--spec-draft-type-v -ctvd --cache-type-v-draft",
            "--spec-draft-threads -td --threads-draft",
            "--spec-draft-threads-batch -tbd --threads-batch-draft",
            "--spec-draft-cpu-mask -Cd --cpu-mask-draft",
            "--spec-draft-cpu-range -Crd --cpu-range-draft",
            "--spec-draft-cpu-strict --cpu-strict-draft",
            "--spec-draft-prio --prio-draft",
            "--spec-draft-poll --poll-draft",
            "--spec-draft-cpu-mask-batch -Cbd --cpu-mask-batch-draft",
            "--spec-draft-cpu-strict-batch --cpu-strict-batch-draft",
            "--spec-draft-prio-batch --prio-batch-draft",
            "--spec-draft-poll-batch --poll-batch-draft",
            "--spec-draft-override-tensor -otd --override-tensor-draft",
            "--spec-draft-n-cpu-moe --spec-draft-ncmoe -ncmoed --n-cpu-moe-draft",
            "--spec-synth-len",
            "--spec-synth-rates",
            "--spec-ngram-mod-n-match",
            "--spec-ngram-mod-n-min",
            "--spec-ngram-mod-n-max",
            *(
                f"--spec-ngram-{kind}-{what}"
                for kind in ("simple", "map-k", "map-k4v")
                for what in ("size-n", "size-m", "min-hits")
            ),
            "--lookup-cache-static -lcs",
            "--lookup-cache-dynamic -lcd",
        ),
        *_flags(
            "--spec-draft-backend-sampling",
            "--no-spec-draft-backend-sampling",
            "--spec-draft-cpu-moe -cmoed --cpu-moe-draft",
            "--spec-default",
            takes=0,
        ),
    ),
    {
        **_same("write --spec-draft-n-max, or --spec-ngram-mod-n-max", "--draft", "--draft-n", "--draft-max"),
        **_same("write --spec-draft-n-min, or --spec-ngram-mod-n-min", "--draft-min", "--draft-n-min"),
        "--spec-ngram-size-n": "write --spec-ngram-simple-size-n, or that of the type in use",
        "--spec-ngram-size-m": "write --spec-ngram-simple-size-m, or that of the type in use",
        "--spec-ngram-min-hits": "write --spec-ngram-simple-min-hits, or that of the type in use",
        **_same("leave it out: the draft has the target's context", "--ctx-size-draft", "-cd", "--spec-draft-ctx-size"),
    },
    {},
    ("--spec", "--draft"),
    _flags("--ctx-size -c", "--temp --temperature", "--model -m", "--hf-repo -hf -hfr"),
)

TABLES: Mapping[Server, Table] = {"vllm": VLLM, "sglang": SGLANG, "llama.cpp": LLAMACPP}
