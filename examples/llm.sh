#!/bin/sh
# The command `llm` (https://llm.datasette.io) with a server of SpeculatoViz. examples/llm.txt is what this prints.
#   speculatoviz serve --profile smol        (in another terminal)
#   pip install llm && sh examples/llm.sh [http://127.0.0.1:8000/v1] [KEY]
set -eu
url=${1:-http://127.0.0.1:8000/v1}
LLM_USER_PATH=$(mktemp -d)
export LLM_USER_PATH
trap 'rm -rf "$LLM_USER_PATH"' EXIT

# One entry makes the server's model one of llm's.
cat > "$LLM_USER_PATH/extra-openai-models.yaml" <<END
- model_id: smol
  model_name: smollm2-135m-instruct
  api_base: "$url"
  supports_schema: true
  supports_tools: true
END
llm keys set openai --value "${2:-none}"

echo '$ llm -m smol -o temperature 0 -o max_tokens 40 "Name three colours of the rainbow."'
llm -m smol -o temperature 0 -o max_tokens 40 "Name three colours of the rainbow."

echo
echo '$ llm -m smol --schema "name, age int" "Tom is a young man of 28 years."'
llm -m smol -o temperature 0 -o max_tokens 60 --schema "name, age int" "Tom is a young man of 28 years."

echo
echo '$ echo "…" | llm -m smol --system "Repeat the text."'
echo "The quick brown fox jumps over the lazy dog." |
  llm -m smol -o temperature 0 -o max_tokens 30 --system "Repeat the text."
