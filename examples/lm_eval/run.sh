#!/bin/sh
# lm-evaluation-harness with a server of SpeculatoViz: `local-completions` scores answers by the log-probabilities of the
# prompt (echo with logprobs), and generates others. examples/lm_eval/output.txt is what this prints.
#   speculatoviz serve --profile smol        (in another terminal)
#   pip install 'lm-eval[api]' transformers && sh examples/lm_eval/run.sh TOKENIZER [http://127.0.0.1:8000/v1]
# TOKENIZER: the model's, as a hub name (HuggingFaceTB/SmolLM2-135M-Instruct) or a folder.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
url=${2:-http://127.0.0.1:8000/v1}
cd "$folder"
export OPENAI_API_KEY=${OPENAI_API_KEY:-none}
exec lm_eval run --model local-completions --include_path "$folder" --tasks capitals,counting --log_samples \
  --output_path "${OUT:-$(mktemp -d)}" --batch_size 1 \
  --model_args "model=smollm2-135m-instruct,base_url=$url/completions,tokenizer=$1,num_concurrent=4,max_retries=1"
