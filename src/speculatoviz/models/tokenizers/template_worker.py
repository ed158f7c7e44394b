"""The child process that renders one chat template: a JSON object per line on stdin, an answer per line on stdout.

It imports jinja2 and the standard library alone. The first line holds the template and its limits, each further line
the variables of one rendering. A template comes with a model file and is untrusted. It runs in Jinja's sandbox, in an
environment equal to that of transformers (`transformers/utils/chat_template_utils.py`), within limits that the system
enforces. The process ends when its stdin does, which is when its parent ends, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from queue import SimpleQueue
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, TemplateSyntaxError
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

_MOST_REASON = 300  # characters of an error's text

Answer = dict[str, str]  # {"text": …}, or {"error": kind, "reason": …}


class RefusedError(TemplateError):
    """The template called `raise_exception`."""


class TooLongError(Exception):
    """The rendering has more characters than are allowed."""


def environment() -> ImmutableSandboxedEnvironment:
    """Jinja as transformers sets it up for chat templates."""
    result = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlock, loopcontrols]
    )
    result.filters["tojson"] = _tojson
    result.globals["raise_exception"] = _refuse
    result.globals["strftime_now"] = _strftime_now
    result.globals["dict"] = _TemplateDict()
    result.globals["namespace"] = _TemplateNamespace
    return result


class GenerationBlock(Extension):
    """`{% generation %}…{% endgeneration %}`, which marks the assistant's tokens for training: its body as it is."""

    tags = {"generation"}  # noqa: RUF012 - as the base class declares it

    def parse(self, parser: Parser) -> CallBlock:
        """A call block, so that variables set in its body are local to it."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        block = CallBlock(self.call_method("_body"), [], [], body)
        block.set_lineno(line)
        return block

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


class _TemplateDict:
    """`dict` without the attributes of a class."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _TemplateNamespace(Namespace):
    """`namespace` without names that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `self` may be a name in the namespace
        self, values = args[0], dict(*args[1:], **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot hold {name!r}: the name begins with an underscore")


def _refuse(message: str) -> NoReturn:
    raise RefusedError(message)


def _strftime_now(format: str) -> str:  # noqa: A002 - as transformers names it
    """Local time."""
    return datetime.now().strftime(format)


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class Worker:
    """Compiles the template at the first rendering, so that compiling has the limits of a rendering."""

    def __init__(self, source: str, characters: int) -> None:
        self._source, self._characters = source, characters
        self._template: Template | None = None

    def answer(self, variables: dict[str, Any]) -> Answer:
        """The rendering, or why there is none."""
        try:
            return {"text": self._render(variables)}
        except RefusedError as error:
            return {"error": "refused", "reason": _reason(error)}
        except TemplateSyntaxError as error:
            return {"error": "syntax", "reason": f"line {error.lineno}: {_reason(error)}"}
        except TooLongError:
            return {"error": "long", "reason": ""}
        except MemoryError:
            return {"error": "memory", "reason": ""}
        except Exception as error:  # a template can raise anything
            return {"error": "failed", "reason": f"{type(error).__name__}: {_reason(error)}"}

    def _render(self, variables: dict[str, Any]) -> str:
        if self._template is None:
            self._template = environment().from_string(self._source)
        pieces, length = list[str](), 0
        for piece in self._template.generate(variables):
            pieces.append(piece)
            length += len(piece)
            if length > self._characters:
                raise TooLongError
        return "".join(pieces)


def _reason(error: Exception) -> str:
    text = " ".join(str(error)[: 4 * _MOST_REASON].split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)[:_MOST_REASON].rstrip(".")


def main() -> None:
    """Answer every line of stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the parent, which ends this process
    lines: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(lines,), daemon=True).start()
    setup = json.loads(lines.get())
    _limit_process(setup["memory_bytes"])
    worker = Worker(setup["source"], setup["characters"])
    while True:
        variables = json.loads(lines.get())
        _limit_cpu(setup["cpu_s"])
        answer = worker.answer(variables)
        _limit_cpu(0.0)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _receive(lines: SimpleQueue[bytes]) -> None:
    """A thread of its own, so that the end of stdin ends the process during a rendering too."""
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


def _limit_process(memory_bytes: int) -> None:
    """Address space; no files are written, and no core. Systems without such limits do without."""
    with contextlib.suppress(ImportError):
        import resource

        for kind, most in (
            (resource.RLIMIT_AS, memory_bytes),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            hard = resource.getrlimit(kind)[1]
            allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (allowed, allowed))


def _limit_cpu(seconds: float) -> None:
    """End the process with SIGPROF after so much processor time, even inside a call of a library. 0: no limit."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    main()
