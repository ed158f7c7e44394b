"""OpenAI's Python library with a server of SpeculatoViz. examples/openai_client.txt is what this prints.

    speculatoviz serve --profile smol
    python examples/openai_client.py [http://127.0.0.1:8000/v1] [KEY]

The model has 135 million parameters: look at the shapes, not at the wisdom.
"""

from __future__ import annotations

import json
import sys

from openai import OpenAI

BASE_URL, KEY = [*sys.argv[1:3], *["http://127.0.0.1:8000/v1", "none"][len(sys.argv) - 1 :]]
# Depths by the fixed policy: `auto` plans by measured times, and may draft nothing for a target this small.
SPECULATION = {"speculation": {"drafter": "suffix", "k": 4, "policy": "fixed"}}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
CODE = """def area(width, height):
    return width * height


def perimeter(width, height):
    return 2 * width + 2 * height
"""


def title(text: str) -> None:
    print(f"\n## {text}\n")


def stream(client: OpenAI, model: str) -> None:
    """A chat as it is written, with the statistics of speculation in the last chunk."""
    chunks = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Name three colours of the rainbow."}],
        temperature=0,
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
        extra_body=SPECULATION,
    )
    for chunk in chunks:
        for choice in chunk.choices:
            print(choice.delta.content or "", end="")
        if chunk.usage is not None:
            statistics = chunk.usage.model_extra["speculation"]
            shown = ("drafter", "k", "exactness", "rounds", "drafted", "accepted")
            print("\n\nspeculation:", {name: statistics[name] for name in shown if name in statistics})


def tools(client: OpenAI, model: str) -> None:
    """A call of a function, whose arguments follow its schema."""
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is the weather in Paris, in celsius?"}],
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
        max_tokens=60,
    )
    for call in answer.choices[0].message.tool_calls or []:
        print(call.function.name, json.loads(call.function.arguments))
    print("finish_reason:", answer.choices[0].finish_reason)


def structured(client: OpenAI, model: str) -> None:
    """An answer that is a valid document of a schema, at any temperature."""
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Tom is a young man of 28 years. Describe him."}],
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}},
        temperature=0.8,
        seed=1,
        max_tokens=60,
        extra_body=SPECULATION,
    )
    print(json.loads(answer.choices[0].message.content or ""))


def prediction(client: OpenAI, model: str) -> None:
    """An edit: what is predicted and stays costs almost no passes."""
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": f"Repeat this code without a change:\n\n{CODE}"}],
        prediction={"type": "content", "content": CODE},
        temperature=0,
        max_tokens=80,
    )
    details = answer.usage.completion_tokens_details
    print(answer.choices[0].message.content)
    print("\ncompletion_tokens:", answer.usage.completion_tokens)
    print("accepted_prediction_tokens:", details.accepted_prediction_tokens)
    print("rejected_prediction_tokens:", details.rejected_prediction_tokens)


def logprobs(client: OpenAI, model: str) -> None:
    """The target's own log-probabilities, whoever drafted the token."""
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "The capital of France is"}],
        logprobs=True,
        top_logprobs=2,
        temperature=0,
        max_tokens=6,
        extra_body=SPECULATION,
    )
    for token in answer.choices[0].logprobs.content:
        others = {other.token: round(other.logprob, 2) for other in token.top_logprobs}
        print(f"{token.token!r:12} {token.logprob:7.3f}   {others}")


def main() -> None:
    client = OpenAI(base_url=BASE_URL, api_key=KEY)
    model = client.models.list().data[0].id
    print("model:", model)
    for example in (stream, tools, structured, prediction, logprobs):
        title(example.__name__)
        example(client, model)


if __name__ == "__main__":
    main()
