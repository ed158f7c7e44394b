"""Structured output: what a request asks the whole output to be, in the terms of OpenAI, vLLM and llama.cpp."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from speculatoviz.core.constraint import GrammarKind
from speculatoviz.server.api.fields import Part, refused
from speculatoviz.telemetry.parts import GrammarInfo

ANY_OBJECT = {"type": "object"}
MOST_CHOSEN = 1024  # texts of a choice


def _schema_text(value: object) -> object:
    """The schema of a text that contains one."""
    if not isinstance(value, str):
        return value
    try:
        schema = json.loads(value)
    except ValueError:
        schema = None
    if not isinstance(schema, dict):
        raise refused("a schema is a JSON object, or a text that contains one")
    return schema


Schema = Annotated[dict[str, Any] | str, AfterValidator(_schema_text)]
Choices = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1, max_length=MOST_CHOSEN)]


class NamedSchema(Part):
    """OpenAI's schema with a name. `strict` changes nothing: the output always follows the schema."""

    name: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(Part):
    """OpenAI's `response_format`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _schema_is_there(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("the type json_schema needs json_schema: {name, schema}")
        return self

    @property
    def structure(self) -> GrammarInfo | None:
        """The grammar; None for any text."""
        if self.type == "text":
            return None
        return _of_schema(ANY_OBJECT if self.json_schema is None else self.json_schema.schema_)


class StructuredOutputs(Part):
    """vLLM's `structured_outputs`: one of these."""

    json_: Schema | None = Field(None, alias="json")
    json_object: bool | None = None
    regex: str | None = None
    choice: Choices | None = None
    grammar: str | None = None

    @property
    def structures(self) -> list[GrammarInfo]:
        """The grammars that are given."""
        any_object = [_of_schema(ANY_OBJECT)] if self.json_object else []
        return any_object + _given(self.json_, self.regex, self.choice, self.grammar)


class StructuredRequest(Part):
    """The fields that say what the output has to be; a request has at most one of them."""

    response_format: ResponseFormat | None = Field(None, description="text, json_object, or json_schema with a schema")
    structured_outputs: StructuredOutputs | None = Field(None, description="vLLM's: json, regex, choice or grammar")
    guided_json: Schema | None = Field(None, description="as structured_outputs.json")
    guided_regex: str | None = Field(None, description="as structured_outputs.regex")
    guided_choice: Choices | None = Field(None, description="as structured_outputs.choice")
    guided_grammar: str | None = Field(None, description="as structured_outputs.grammar")
    grammar: str | None = Field(None, description="llama.cpp's: a grammar in GBNF")
    json_schema: dict[str, Any] | None = Field(None, description="llama.cpp's: a schema")

    @model_validator(mode="after")
    def _one_structure(self) -> Self:
        if len(self._structures) > 1:
            raise ValueError("the request asks for several structures of one output")
        return self

    @property
    def structure(self) -> GrammarInfo | None:
        """The grammar of the output; None for any text."""
        return next(iter(self._structures), None)

    @property
    def _structures(self) -> list[GrammarInfo]:
        wanted = None if self.response_format is None else self.response_format.structure
        found = [] if wanted is None else [wanted]
        found += [] if self.structured_outputs is None else self.structured_outputs.structures
        found += _given(self.guided_json, self.guided_regex, self.guided_choice, self.guided_grammar)
        return found + _given(self.json_schema or None, None, None, self.grammar or None)


def _given(schema: Any, regex: str | None, choice: tuple[str, ...] | None, grammar: str | None) -> list[GrammarInfo]:
    found = [] if schema is None else [_of_schema(schema)]
    found += [] if regex is None else [GrammarInfo(kind="regex", text=regex)]
    found += [] if choice is None else [GrammarInfo(kind="lark", text=_one_of(choice))]
    return found + ([] if grammar is None else [GrammarInfo(kind=_kind(grammar), text=grammar)])


def _of_schema(schema: Any) -> GrammarInfo:
    return GrammarInfo(kind="json_schema", text=json.dumps(schema))


def _one_of(texts: tuple[str, ...]) -> str:
    return "start: " + " | ".join(map(json.dumps, texts))


def _kind(grammar: str) -> GrammarKind:
    """GBNF defines rules with `::=`, Lark with a colon."""
    return "gbnf" if "::=" in grammar else "lark"
