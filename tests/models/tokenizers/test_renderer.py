"""The process that renders a template: hostile templates are stopped in words, and it ends when it should."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from speculatoviz.models.tokenizers.renderer import Renderer, RenderingError, TemplateLimits
from support.live_server import PATIENCE_S, poll

ENDLESS = "{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}"
SHORT = TemplateLimits(cpu_s=0.5)
LONG = TemplateLimits(cpu_s=1e6, wall_s=1e6)  # what a test has to end itself

TIME, MEMORY, OUTPUT = (
    "computes for more than 0.5 s",
    "needs more than 512 MB of memory",
    "a text of more than 1,048,576",
)
RANGE, DEPTH = r"fails \(OverflowError", r"fails \(RecursionError"
HOSTILE = {
    "an endless loop": (ENDLESS, TIME),
    "an endless output": (f"{{% for i in range(99999) %}}{'a' * 99}{{% endfor %}}", OUTPUT),
    "a long string": ("{{ 'a' * 10**10 }}", MEMORY),
    "a doubling string": (
        "{% set n = namespace(s='a') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}",
        f"{MEMORY}|{TIME}",
    ),
    "a doubling list": (
        "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
        f"{MEMORY}|{TIME}",
    ),
    "a deep recursion": ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", DEPTH),
    "a deep expression": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", DEPTH),
    "a huge width": ("{{ '%9999999999d' % 1 }}", MEMORY),
    "a huge width in a format": ("{{ '{:>9999999999}'.format(1) }}", MEMORY),
    "a huge range": ("{{ range(10**9) | list }}", RANGE),
    "a huge number": ("{{ 9 ** (9 ** 9) }}", TIME),  # computed by the compiler of templates
    "a filter of quadratic time": ("{{ ('a' * 10**7) | wordwrap(1) | length }}", TIME),
    "a filter that makes endless lists": ("{{ [1] | slice(10**10) | list }}", TIME),
    "a filter that indents": ("{{ 'a' | indent(10**10) }}", MEMORY),
    "a replacement of replacements": ("{{ 'a' | replace('', 'b' * 10**5) | replace('', 'c' * 10**5) }}", MEMORY),
    "an endless text of a library": ("{{ lipsum(n=10**6) }}", TIME),
}


@pytest.fixture
def renderers() -> Iterator[Callable[..., Renderer]]:
    """Makes renderers that are closed at the end."""
    made: list[Renderer] = []

    def make(source: str, limits: TemplateLimits | None = None) -> Renderer:
        made.append(Renderer(source, limits))
        return made[-1]

    yield make
    for renderer in made:
        renderer.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_in_words(name: str, renderers: Callable[..., Renderer]) -> None:
    source, expected = HOSTILE[name]
    with pytest.raises(RenderingError, match=expected) as caught:
        renderers(source, SHORT).render({})
    assert caught.value.hint.endswith(".")
    assert len(caught.value.message) < 500


def test_each_limit_is_what_it_is_set_to(renderers: Callable[..., Renderer]) -> None:
    """What passes one limit does not pass a lower one."""
    long = "{{ 'a' * n }}"
    assert len(renderers(long).render({"n": 1 << 20})) == 1 << 20
    with pytest.raises(RenderingError, match="more than 1,048,576"):
        renderers(long).render({"n": (1 << 20) + 1})

    large = "{{ ('a' * n) | length }}"
    assert renderers(large).render({"n": 200 << 20}) == str(200 << 20)
    with pytest.raises(RenderingError, match="more than 192 MB"):
        renderers(large, TemplateLimits(memory_bytes=192 << 20)).render({"n": 200 << 20})

    slow = "{% for i in range(1000) %}{% for i in range(3000) %}{% endfor %}{% endfor %}done"
    assert renderers(slow, LONG).render({}) == "done"
    with pytest.raises(RenderingError, match=r"more than 0\.01 s"):
        renderers(slow, TemplateLimits(cpu_s=0.01)).render({})
    with pytest.raises(RenderingError, match=r"does not end within 0\.1 s"):
        renderers(ENDLESS, TemplateLimits(cpu_s=1e6, wall_s=0.1)).render({})


def test_processor_time_is_counted_for_each_rendering(renderers: Callable[..., Renderer]) -> None:
    renderer = renderers("{% for i in range(n) %}{% for i in range(3000) %}{% endfor %}{% endfor %}{{ n }}", SHORT)
    renderer.render({"n": 1})
    process = psutil.Process(renderer.pid)
    while process.cpu_times().user < 2 * SHORT.cpu_s:
        assert renderer.render({"n": 100}) == "100"
    assert renderer.pid == process.pid


def test_one_process_renders_again_and_again(renderers: Callable[..., Renderer]) -> None:
    renderer = renderers("{{ a }}{% if b %}{{ b.c.d }}{% endif %}")
    assert renderer.pid is None
    assert [renderer.render({"a": text}) for text in ("", "\n", "ä\N{ROCKET}\0\ud800")] == [
        "",
        "\n",
        "ä\N{ROCKET}\0\ud800",
    ]
    pid = renderer.pid
    with pytest.raises(RenderingError, match="UndefinedError"):
        renderer.render({"b": 1})
    assert (renderer.render({"a": 1}), renderer.pid) == ("1", pid)


def test_a_process_that_died_while_idle_is_started_again(renderers: Callable[..., Renderer]) -> None:
    renderer = renderers("{{ a }}")
    renderer.render({"a": 1})
    first = psutil.Process(renderer.pid)
    first.kill()
    poll(lambda: renderer.pid is None, "the process ends")

    assert renderer.render({"a": 2}) == "2"
    assert renderer.pid != first.pid


def test_a_process_that_dies_during_a_rendering_is_told_and_started_again(renderers: Callable[..., Renderer]) -> None:
    renderer = renderers("{% if endless %}" + ENDLESS + "{% endif %}done", LONG)
    renderer.render({})
    assert renderer.pid is not None
    with Rendering(renderer, {"endless": True}) as rendering:
        os.kill(renderer.pid, signal.SIGKILL)
    assert isinstance(rendering.error, RenderingError)
    assert "ended with SIGKILL" in rendering.error.message
    assert rendering.error.cause == "process"
    assert renderer.render({}) == "done"


class Rendering(threading.Thread):
    """A rendering in a thread of its own, which has begun to compute when the context is entered."""

    def __init__(self, renderer: Renderer, variables: dict[str, Any]) -> None:
        super().__init__()
        self._renderer, self._variables = renderer, variables
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._renderer.render(self._variables)
        except Exception as error:
            self.error = error

    def __enter__(self) -> Rendering:
        self.start()
        poll(lambda: self._renderer.pid is not None, "the process starts")
        process = psutil.Process(self._renderer.pid)
        begun = process.cpu_times().user
        poll(lambda: process.cpu_times().user > begun + 0.5, "it renders")
        return self

    def __exit__(self, *_: object) -> None:
        self.join(PATIENCE_S)
        assert not self.is_alive(), "it still renders"


def test_closing_ends_a_rendering_and_those_that_wait(renderers: Callable[..., Renderer]) -> None:
    renderer = renderers(ENDLESS, LONG)
    with Rendering(renderer, {}) as first, Rendering(renderer, {}) as second:
        process = psutil.Process(renderer.pid)
        renderer.close()
        assert not process.is_running()
    assert ["closed" in str(rendering.error) for rendering in (first, second)] == [True, True]


def test_a_closed_renderer_can_be_used_again() -> None:
    renderer = Renderer("{{ a }}")
    renderer.close()
    assert renderer.render({"a": 1}) == "1"
    renderer.close()
    renderer.close()
    assert renderer.pid is None


def test_the_process_ends_with_its_renderer() -> None:
    renderer = Renderer("{{ a }}")
    renderer.render({"a": 1})
    process = psutil.Process(renderer.pid)
    del renderer
    poll(lambda: not process.is_running(), "the process ends")


PARENT = """
import sys, threading
from speculatoviz.models.tokenizers.renderer import Renderer, TemplateLimits

renderer = Renderer("{% if endless %}" + sys.argv[1] + "{% endif %}", TemplateLimits(1e6, 1e6))
renderer.render({})
print(renderer.pid, flush=True)
if sys.argv[2] == "rendering":
    renderer.render({"endless": True})
threading.Event().wait()
"""


@pytest.mark.parametrize("state", ["idle", "rendering"])
def test_the_process_ends_when_its_parent_is_killed(state: str) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, ENDLESS, state], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            child = psutil.Process(int(parent.stdout.readline()))
            if state == "rendering":
                begun = child.cpu_times().user
                poll(lambda: child.cpu_times().user > begun + 0.5, "it renders")
            assert child.is_running()
        finally:
            parent.kill()
        poll(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child ends")


def test_the_process_sees_no_keys_and_writes_no_files(
    renderers: Callable[..., Renderer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CEREBRAS_API_KEY", "secret")
    monkeypatch.setenv("TZ", "UTC")
    renderer = renderers("{{ a }}")
    renderer.render({"a": 1})
    process = psutil.Process(renderer.pid)
    assert process.environ()["TZ"] == "UTC"
    assert "secret" not in json.dumps(process.environ())
    if sys.platform == "linux":
        assert process.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
        assert process.rlimit(psutil.RLIMIT_AS) == (512 << 20, 512 << 20)


def test_a_process_that_cannot_start_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RenderingError, match="No process could be started") as caught:
        Renderer("{{ a }}").render({})
    assert caught.value.cause == "process"


@pytest.mark.parametrize("answer", ["no json\n", "[]\n", '{"text": 1}\n', '{"text": "cut', "[" * 100_000 + "\n", ""])
def test_an_answer_that_cannot_be_read_is_told_in_words(
    answer: str, monkeypatch: pytest.MonkeyPatch, renderers: Callable[..., Renderer]
) -> None:
    """A template that left the sandbox could write anything."""
    program = f"import sys; sys.stdin.readline(); sys.stdout.write({answer!r})"
    monkeypatch.setattr("speculatoviz.models.tokenizers.renderer._START", program)
    with pytest.raises(RenderingError, match="its process ended with"):
        renderers("{{ a }}").render({})
