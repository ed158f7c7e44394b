#!/bin/sh
# GuideLLM (https://github.com/vllm-project/guidellm) with a server of SpeculatoViz: two clients at the same time, chats of
# generated words. It keeps what each answer reports of speculation. examples/serving/guidellm.txt is what this prints.
#   speculatoviz serve --profile smol        (in another terminal)
#   pip install guidellm && sh examples/serving/guidellm.sh TOKENIZER [http://127.0.0.1:8000]
# TOKENIZER: the model's, as a hub name (HuggingFaceTB/SmolLM2-135M-Instruct) or a folder.
set -eu
url=${2:-http://127.0.0.1:8000}
results=${OUT:-$(mktemp -d)}

guidellm run --backend "kind=openai_http,target=$url" --profile kind=concurrent,streams=2 \
  --constraint kind=max_requests,count=8 --constraint kind=max_duration,seconds=60 \
  --data kind=synthetic_text,prompt_tokens=48,output_tokens=32 --tokenizer "kind=hf_auto,model=$1" \
  --output "kind=json,path=$results/benchmarks.json" --disable-progress > "$results/console.txt"
sed -n '/Run Summary Info/,/^$/p;/Request Latency Statistics/,/^$/p;/Server Throughput Statistics/,/^$/p' "$results/console.txt"

python3 - "$results/benchmarks.json" << 'END'
import json
import sys

(benchmark,) = json.load(open(sys.argv[1], encoding="utf-8"))["benchmarks"]
print("Speculation, as GuideLLM read it from each answer:")
for request in benchmark["requests"]["successful"]:
    if request["response_metrics"] is None:
        print(f"{request['output_tokens']} tokens, nothing was drafted")
        continue
    found = request["response_metrics"]["speculative_decoding"]
    print(
        f"{request['output_tokens']} tokens, {found['num_spec_steps']} rounds with a draft, mean acceptance length"
        f" {found['mean_acceptance_length']:.2f}, {found['num_accepted_draft_tokens']} of {found['num_draft_tokens']} accepted"
    )
END
