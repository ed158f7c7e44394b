"""Chat templates: rendered as transformers renders them, with contents as templates expect them, and no text lost."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Message
from speculatoviz.models.tokenizers import templates
from speculatoviz.models.tokenizers.renderer import Renderer, TemplateLimits
from speculatoviz.models.tokenizers.templates import ChatTemplate
from speculatoviz.targets.hosted.chat_formats import FAMILIES

CAN_COMPARE = importlib.util.find_spec("transformers") is not None
TOKENS = {"bos_token": "<b>", "eos_token": "<e>", "pad_token": "<p>"}

STRINGS = "{% for m in messages %}[{{ m.role + ':' + m.content }}]{% endfor %}"
PARTS = "{% for m in messages %}[{{ m.role }}:{% for p in m.content %}{{ p.text }}{% endfor %}]{% endfor %}"
TYPED = (
    "{% for m in messages %}[{{ m.role }}:{% for p in m.content %}"
    "{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}]{% endfor %}"
)
MIXED = (
    "{% for m in messages %}[{{ m.role }}:{% if m.role == 'system' %}{{ m.content + '' }}{% else %}"
    "{{ m.content[0].text + '' }}{% endif %}]{% endfor %}"
)
ONE_PART = (
    "{% for m in messages %}{% if m.content is string or m.content | length != 1 %}"
    "{{ raise_exception('one part, please') }}{% endif %}[{{ m.role }}:{{ m.content[0]['text'] }}]{% endfor %}"
)
BROKEN = {
    "syntax": ("{% for m in messages %}", r"cannot be read \(line 1: "),
    "refusal": ("{{ raise_exception('no lone\nuser turn.') }}", r"refuses these messages \(no lone user turn\)"),
    "TypeError": ("{{ 1 + 'a' }}", r"fails \(TypeError: "),
    "KeyError": ("{{ {}.pop('a') }}", r"fails \(\w+Error: "),
    "undefined": ("{{ a.b.c }}", r"fails \(UndefinedError: 'a' is undefined\)"),
    "forbidden": ("{{ ''.__class__.__mro__ }}", r"fails \(SecurityError: "),
    "a tag of others": ("{% trans %}a{% endtrans %}", r"cannot be read \(line 1: "),
    "division": ("{{ 1 / 0 }}", r"fails \(ZeroDivisionError: "),
    "an unreadable exception": (
        "{{ raise_exception('\x1b[31m' ~ 'a' * 5000) }}",
        r"refuses these messages \(\ufffd\[31ma+\)",
    ),
    "a deaf one": ("Hello!", r"leaves out the text of message 1 \(user\)"),
}


def talk(*texts: str, system: str | None = None) -> list[Message]:
    """Turns of user and assistant."""
    turns: list[Message] = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    return turns if system is None else [{"role": "system", "content": system}, *turns]


@pytest.fixture
def template() -> Iterator[Callable[..., ChatTemplate]]:
    """Makes templates that are closed at the end."""
    made: list[ChatTemplate] = []

    def make(source: str, tokens: Mapping[str, str] = TOKENS, limits: TemplateLimits | None = None) -> ChatTemplate:
        made.append(ChatTemplate(source, tokens, limits))
        return made[-1]

    yield make
    for one in made:
        one.close()


# ---- the environment ----

TEXT = "{{ messages[0].content }}"
EXPECTED = {
    "generation": (
        "{% for m in messages %}{% generation %}{% set a = m.role %}{{ a }}{% endgeneration %}{{ a }};{% endfor %}",
        "user;",
    ),
    "tojson": ("{{ {'b': '<é>', 'a': [1, none]} | tojson }}", '{"b": "<é>", "a": [1, null]}'),
    "tojson with arguments": (
        "{{ {'b': 'é', 'a': 1} | tojson(ensure_ascii=true, sort_keys=true, separators=(',', ':')) }}",
        '{"a":1,"b":"\\u00e9"}',
    ),
    "tojson with an indent": ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
    "continue": ("{% for i in range(3) %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "02"),
    "break": ("{% for i in range(3) %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% endfor %}", "0"),
    "trimmed blocks": ("{% if true %}\n  {% set a = 1 %}\n  a\n{% endif %}\n", "  a\n"),
    "tokens": ("{{ bos_token }} {{ eos_token }} {{ pad_token }}", "<b> <e> <p>"),
    "a token that the model lacks": ("{{ cls_token is defined }}{{ cls_token }}", "False"),
    "variables of renderers": (
        "{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }} {{ enable_thinking is defined }}",
        "True True True False",
    ),
    "the default of thinking": ("{{ enable_thinking | default(true) }}", "True"),
    "tools in an expression": ("{% if tools %}{{ tools[0] }}{% endif %}{{ (tools or []) | length }}", "0"),
    "dict and namespace": (
        "{% set n = namespace(a=dict(x=1)) %}{% set n.b = dict.fromkeys('y') %}{{ n.a.x }} {{ n.b }}",
        "1 {'y': None}",
    ),
    "a message": (
        "{{ messages[0].get('tool_calls') }} {{ messages[0].keys() | list }}",
        "None ['role', 'content']",
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_environment_is_that_of_transformers(name: str, template: Callable[..., ChatTemplate]) -> None:
    source, expected = EXPECTED[name]
    assert template(source + TEXT).render(talk("hi")) == expected + "hi"
    if CAN_COMPARE:
        assert by_transformers(source + TEXT, talk("hi"), TOKENS) == expected + "hi"


@pytest.mark.parametrize("name", ["a", "_a"])
@pytest.mark.parametrize(
    "source", ["set n = namespace(NAME=1)", "set n = namespace({'NAME': 1})", "set n = namespace() %}{% set n.NAME = 1"]
)
def test_a_namespace_takes_no_names_with_an_underscore(
    name: str, source: str, template: Callable[..., ChatTemplate]
) -> None:
    one = template("{% " + source.replace("NAME", name) + " %}" + TEXT)
    if name == "a":
        assert one.render(talk("hi")) == "hi"
    else:
        with pytest.raises(BadRequestError, match="begins with an underscore"):
            one.render(talk("hi"))


def test_tokens_that_every_model_should_have_are_defined(template: Callable[..., ChatTemplate]) -> None:
    assert template("{{ '[' + bos_token + eos_token + ']' }}" + TEXT, {}).render(talk("hi")) == "[]hi"


def test_a_template_knows_the_date(template: Callable[..., ChatTemplate]) -> None:
    before = datetime.now()
    text = template("{{ strftime_now('%Y-%m-%d') }} " + TEXT).render(talk("hi"))
    assert text in {f"{day:%Y-%m-%d} hi" for day in (before, datetime.now())}


def by_transformers(source: str, messages: Sequence[Message], tokens: Mapping[str, str]) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    chat: Any = [dict(message) for message in messages]
    rendered = render_jinja_template([chat], chat_template=source, add_generation_prompt=True, **tokens)[0]
    return str(rendered[0])


@pytest.mark.skipif(not CAN_COMPARE, reason="needs the extra hf")
@pytest.mark.parametrize("name", FAMILIES)
def test_whole_templates_render_as_in_transformers(name: str, template: Callable[..., ChatTemplate]) -> None:
    source = FAMILIES[name].template
    for messages in (talk("Hi {{ 1 }}\n"), talk("Hi", "<b>Hello", " 2?", system="Be brief.")):
        assert template(source).render(messages) == by_transformers(source, messages, TOKENS)
    assert template(source).render(talk("a")) != by_transformers(source, talk("b"), TOKENS), "the twin"


# ---- contents ----


@pytest.mark.parametrize(
    "source", [STRINGS, PARTS, TYPED, MIXED, ONE_PART], ids=["strings", "parts", "typed", "mixed", "one"]
)
def test_contents_are_given_as_the_template_expects_them(source: str, template: Callable[..., ChatTemplate]) -> None:
    one = template(source)
    assert one.render(talk("Hi", system="Be brief")) == "[system:Be brief][user:Hi]"
    if source is not MIXED:
        assert one.render(talk("user", "assistant", "user")) == "[user:user][assistant:assistant][user:user]"


def test_strings_alone_lose_texts(template: Callable[..., ChatTemplate], monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: contents are not probed, and what is lost is not looked for."""
    monkeypatch.setattr(ChatTemplate, "_form", lambda _self, roles: dict.fromkeys(roles, str))
    monkeypatch.setattr(templates, "_lost", lambda _messages, _text: None)
    assert template(TYPED).render(talk("Hi")) == "[user:]"


def test_contents_are_probed_once_for_each_sequence_of_roles(
    template: Callable[..., ChatTemplate], monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[Any] = []
    render = Renderer.render
    monkeypatch.setattr(
        Renderer, "render", lambda self, variables: (rendered.append(variables), render(self, variables))[1]
    )
    one = template(PARTS)
    one.render(talk("Hi"))
    assert len(rendered) == 3, "strings, parts, and the conversation"
    one.render(talk("Ho"))
    assert len(rendered) == 4
    one.render(talk("Ho", system="Be brief."))
    assert len(rendered) == 7


LEAVES_OUT = {
    "system messages": (
        "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}",
        talk("a", system="b"),
        1,
    ),
    "all but the last": ("{{ messages[-1].content }}", talk("a", "b", "c"), 1),
    "equal texts": ("{{ messages | map(attribute='content') | unique | join(' ') }}", talk("a", "b", "a"), 1),
    "words": ("{{ messages[0].content | replace('<image>', '') }}", talk("see <image>"), 1),
    "long texts": ("{{ messages[0].content[:9] }}", talk("123456789a"), 1),
    "one of several": (
        "{% for m in messages %}{{ m.content | replace('secret', '') }}{% endfor %}",
        talk("a", "b", "a secret"),
        3,
    ),
    "an answer": ("{% for m in messages %}{{ m.content.split('b')[0] }}{% endfor %}", talk("a", "xby", "z"), 2),
}


@pytest.mark.parametrize("name", LEAVES_OUT)
def test_a_text_is_never_left_out_silently(name: str, template: Callable[..., ChatTemplate]) -> None:
    source, messages, number = LEAVES_OUT[name]
    with pytest.raises(BadRequestError, match=f"leaves out the text of message {number} ") as caught:
        template(source).render(messages)
    assert "--raw" in caught.value.hint


def test_what_templates_may_change_is_not_taken_for_a_loss(template: Callable[..., ChatTemplate]) -> None:
    trims = template("{% for m in messages %}[{{ m.content | trim }}]{% endfor %}")
    assert trims.render(talk(" a \n", "\tb", "")) == "[a][b][]"
    forgets = template("{% for m in messages %}[{{ m.content.split('</think>')[-1] | trim }}]{% endfor %}")
    assert forgets.render(talk("a", "<think>\nb\n</think>\n\nc", "d")) == "[a][c][d]"
    with pytest.raises(BadRequestError, match="message 3 "):
        forgets.render(talk("a", "b", "what does </think> mean?"))
    system_in_the_question = template(
        "{% for m in messages if m.role != 'system' %}{{ m.content }}"
        "{% if loop.first %} {{ messages[0].content }}{% endif %}{% endfor %}"
    )
    assert system_in_the_question.render(talk("a", system="b")) == "a b"


# ---- templates that cannot be used ----


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_template_refuses_chats_alone(name: str, template: Callable[..., ChatTemplate]) -> None:
    source, expected = BROKEN[name]
    one = template(source)
    for _ in range(2):  # found out, and remembered
        with pytest.raises(BadRequestError, match=expected) as caught:
            one.render(talk("hi"))
    assert caught.value.code == "bad_request"
    assert "raw" in caught.value.hint
    assert len(caught.value.message) < 500
    assert json.dumps(caught.value.message).isascii()


def test_a_template_that_is_too_slow_is_tried_once(
    template: Callable[..., ChatTemplate], monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = template(
        "{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}", limits=TemplateLimits(0.2)
    )
    with pytest.raises(BadRequestError, match=r"computes for more than 0\.2 s"):
        endless.render(talk("hi"))
    monkeypatch.setattr(Renderer, "render", lambda _self, _variables: pytest.fail("it renders again"))
    with pytest.raises(BadRequestError, match=r"computes for more than 0\.2 s"):
        endless.render(talk("ho"))


def test_what_was_not_the_templates_fault_is_tried_again(
    template: Callable[..., ChatTemplate], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = template(STRINGS)
    with monkeypatch.context() as broken:
        broken.setattr("sys.executable", "/nowhere/python")
        with pytest.raises(BadRequestError, match="No process could be started"):
            one.render(talk("hi"))
    assert one.render(talk("hi")) == "[user:hi]"


def test_a_conversation_without_messages_is_refused(template: Callable[..., ChatTemplate]) -> None:
    with pytest.raises(BadRequestError, match="no message"):
        template("hello").render([])
