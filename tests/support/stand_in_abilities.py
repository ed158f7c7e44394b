"""What a small HTTP endpoint can do."""

from __future__ import annotations

from dataclasses import dataclass

STANDARD = {
    *("model", "prompt", "max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty"),
    *("seed", "stop", "stream", "stream_options", "n", "logprobs", "echo", "messages", "return_raw_tokens"),
}


@dataclass
class Abilities:
    """What the endpoint does. Each switch turned off makes it answer as servers without it do."""

    token_prompts: bool = True
    text_prompts: bool = True
    arrays: bool = True
    ids: str | None = "token_ids"  # the field of a choice that holds ids, None for none
    logprobs: bool = True
    echo: bool = True
    prompt_logprobs: bool = True
    most_logprobs: int = 20  # -1 for no limit
    raw: bool = True  # False: prompt scores are divided by the temperature
    shifted: bool = False  # True: prompt scores stand one place too late
    several: bool = True  # n
    unknown_fields: bool = True  # False: answers them with 400
    completions: bool = True  # False: chats only
    chats: bool = True
    tokenize: bool = True
    filters: bool = True  # False: top_k and min_p are accepted and ignored
    key: str | None = None
    authorization: str | None = None  # the whole header that every request must have
    time_info: bool = False
    max_model_len: int | None = 256
