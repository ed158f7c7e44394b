"""What the fields of requests share: refusals in words, fields that are not supported, and lists of biases."""

from __future__ import annotations

from typing import Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from speculatoviz.telemetry.messages import MOST_BIAS, MOST_BIASES

UNSUPPORTED = "unsupported"  # the type of a validation error for a field that is not supported


def refused(text: str) -> PydanticCustomError:
    """The error for a value that is not allowed. text: the reason, as a clause."""
    return PydanticCustomError("refused", "{reason}", {"reason": text})


def only(*neutral: object) -> AfterValidator:
    """Accepts null and the values of a field that change nothing."""

    def check(value: object) -> object:
        if value is None or value in neutral:
            return value
        allowed = " or ".join(["null", *(repr(each) for each in neutral)])
        reason = f"this server does not support the field yet, and takes {allowed} only"
        raise PydanticCustomError(UNSUPPORTED, "{reason}", {"reason": reason})

    return AfterValidator(check)


def unsupported(*neutral: object, what: str) -> Any:
    return Field(None, description=f"not supported yet: {what}", examples=[*neutral] or None)


class Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


def biases(value: object) -> dict[int, float] | None:
    """From OpenAI's object, or llama.cpp's list of pairs."""
    if value is None:
        return None
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise refused("logit_bias is an object of token ids with numbers, or a list of pairs of both")
    if len(pairs) > MOST_BIASES:
        raise refused(f"a request has at most {MOST_BIASES} biases")
    return dict(_bias(token, number) for token, number in pairs)


def _bias(token: object, number: object) -> tuple[int, float]:
    known = type(token) is int or (isinstance(token, str) and token.isdecimal() and len(token) < 10)
    if not known or isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= MOST_BIAS:
        raise refused(f"a bias is a token id with a number from -{MOST_BIAS:g} to {MOST_BIAS:g}")
    return int(str(token)), float(number)
