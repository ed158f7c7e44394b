#!/bin/sh
# vLLM's own client for serving benchmarks with a server of SpeculatoViz: first completions of random tokens, then chats
# of questions.jsonl. It reads the counts of speculation at /metrics. examples/serving/vllm_bench.txt is what this prints.
#   speculatoviz serve --profile smol        (in another terminal)
#   pip install 'vllm[bench]' && sh examples/serving/vllm_bench.sh TOKENIZER [http://127.0.0.1:8000]
# TOKENIZER: the model's, as a hub name (HuggingFaceTB/SmolLM2-135M-Instruct) or a folder.
set -eu
tokenizer=$1
folder=$(cd "$(dirname "$0")" && pwd)
url=${2:-http://127.0.0.1:8000}
results=${OUT:-$(mktemp -d)}

bench() { # its table, without what vLLM prints before it and after it
  title=$1
  shift
  echo "## $title"
  vllm bench serve --base-url "$url" --tokenizer "$tokenizer" --max-concurrency 4 --temperature 0 --disable-tqdm \
    --save-result --result-dir "$results" "$@" > "$results/log.txt" 2>&1 || {
    cat "$results/log.txt" >&2
    exit 1
  }
  sed -n '/Serving Benchmark Result/,/^=*$/p' "$results/log.txt"
}

bench "completions, random tokens" --backend openai --dataset-name random --random-input-len 64 \
  --random-output-len 48 --num-prompts 12 --ignore-eos
bench "chats" --backend openai-chat --endpoint /v1/chat/completions --dataset-name custom \
  --dataset-path "$folder/questions.jsonl" --custom-output-len 48 --num-prompts 12 --disable-shuffle
