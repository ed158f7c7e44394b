"""Requests of Open WebUI and SillyTavern, sent as these programs build them, without the programs.

    speculatoviz serve --profile smol
    python examples/replay/replay.py [http://127.0.0.1:8000/v1] [KEY]

requests.json has the requests: the fields are those that the sources named there send, the texts are our own.
examples/replay/output.txt is what this prints.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import httpx

BASE_URL, KEY = [*sys.argv[1:3], *["http://127.0.0.1:8000/v1", "none"][len(sys.argv) - 1 :]]


def documents(response: httpx.Response) -> list[dict[str, Any]]:
    """The chunks of a stream, or the one document."""
    if not response.headers["content-type"].startswith("text/event-stream"):
        return [response.json()]
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    if lines[-1] != "[DONE]":
        raise SystemExit("The stream did not end with [DONE].")
    return [json.loads(line) for line in lines[:-1]]


def text_of(choice: dict[str, Any]) -> str:
    """The text and the calls of a choice or of a part of one."""
    part = choice.get("delta") or choice.get("message") or choice
    calls = [call["function"] for call in part.get("tool_calls") or []]
    called = "".join(f"{call.get('name') or ''}{call['arguments']}" for call in calls)
    return (part.get("content") or part.get("text") or "") + called


def show(request: dict[str, Any], client: httpx.Client) -> None:
    print(f"\n## {request['client']}: {request['what']}\n")
    response = client.post(request["path"], json=request["body"])
    if response.status_code != 200:
        raise SystemExit(f"status {response.status_code}: {response.text}")
    found = documents(response)
    choices = [choice for document in found for choice in document["choices"]]
    print("".join(map(text_of, choices)))
    reason = next(choice["finish_reason"] for choice in reversed(choices) if choice.get("finish_reason"))
    usage = next((document["usage"] for document in found if document.get("usage")), None)
    told = "" if usage is None else f", {usage['prompt_tokens']} + {usage['completion_tokens']} tokens"
    drafted = found[-1].get("timings") or {}
    print(f"\n{len(found)} documents, finish_reason {reason}{told}")
    print(f"drafted {drafted.get('draft_n')}, accepted {drafted.get('draft_n_accepted')}")


def main() -> None:
    requests = json.loads((Path(__file__).parent / "requests.json").read_text(encoding="utf-8"))
    with httpx.Client(base_url=BASE_URL, headers={"Authorization": f"Bearer {KEY}"}, timeout=300) as client:
        models = client.get("/models").raise_for_status().json()["data"]  # both programs list them first
        for request in requests:
            show(request | {"body": request["body"] | {"model": models[0]["id"]}}, client)


if __name__ == "__main__":
    main()
