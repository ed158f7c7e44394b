"""Validation errors in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import SecretStr, ValidationError

from speculatoviz.config.ranges import RANGES
from speculatoviz.config.settings import PREFIX, Settings
from speculatoviz.errors import BadRequestError

_TAGS = (("start",), ("update",), ("cancel",))  # where a message of that type goes wrong

# What a value must be, by the type of pydantic's error.
_KINDS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "an object",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_attributes_type": "an object",
    "model_type": "an object",
    "string_type": "text",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def in_words(error: ValidationError, source: Callable[[str], str] = str) -> BadRequestError:
    """The first mistake in a message or in settings, with the allowed range if there is one.

    source: from a field's name to what the user knows it by, such as the name of an environment variable.
    """
    return mistake_in_words(error.errors(include_url=False, include_context=True)[0], source)


def mistake_in_words(first: Mapping[str, Any], source: Callable[[str], str] = str) -> BadRequestError:
    """One mistake of a validation error, as pydantic describes it, in words. source: as for `in_words`."""
    context = first.get("ctx", {})
    loc = first["loc"][1:] if first["loc"][:1] in _TAGS else first["loc"]
    field = ".".join(map(str, loc))
    if field.startswith(PREFIX):
        field = field.removeprefix(PREFIX).lower()
    given = "what was given" if _is_secret(field) else _short(first.get("input"))
    if first["type"] == "extra_forbidden":
        return BadRequestError(f"There is no setting named {field!r}.", "Remove it, or look at /api/settings.")
    if first["type"] == "union_tag_invalid":
        return BadRequestError(
            f"The message's type is {_short(context['tag'])}, and known are {context['expected_tags']}.",
            "Choose one of them.",
        )
    reason = reason_in_words(first)
    if not loc:  # from a validator of the whole model
        return BadRequestError(f"{reason}.", "Change one of them.")
    name, allowed = source(field), RANGES.get(field)
    if first["type"] in {"missing", "too_short"}:
        return _lack(name, context)
    if allowed is not None and allowed.enforced:
        return BadRequestError(
            f"{name} is {given}, and allowed are {allowed.minimum:g} to {allowed.maximum:g}.",
            "Choose a value in that range.",
        )
    return BadRequestError(f"{name} is {given}: {reason}.", "Correct it and try again.")


def reason_in_words(first: Mapping[str, Any]) -> str:
    """What is wrong with a value, as pydantic describes it, in words: what it must be."""
    context, kind = first.get("ctx", {}), first["type"]
    if kind == "json_invalid":
        return f"it is not JSON ({context['error']})"
    if kind in {"literal_error", "enum"}:
        return f"it must be {context['expected']}"
    if kind in _KINDS:
        return f"it must be {_KINDS[kind]}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"it must be {words} {context[bound]}"
    return str(context.get("error", first["msg"]))


def _lack(name: str, context: Mapping[str, Any]) -> BadRequestError:
    """A field that is missing, or a list with too few entries."""
    if "min_length" not in context:
        return BadRequestError(f"{name} is missing.", "Add it and try again.")
    words = f"{name} has {context['actual_length']} entries, and needs at least {context['min_length']}."
    return BadRequestError(words, "Add what is missing and try again.")


def _is_secret(field: str) -> bool:
    info = Settings.model_fields.get(field)
    return info is not None and SecretStr in get_args(info.annotation)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
