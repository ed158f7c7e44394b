"""All checks of a command, in the order in which a reader would mend it."""

from __future__ import annotations

from collections.abc import Mapping

from speculatoviz.lab.engines import lint_llamacpp, lint_sglang, lint_vllm
from speculatoviz.lab.engines.command import parse
from speculatoviz.lab.engines.flags import Server
from speculatoviz.lab.engines.lint import Check, Finding, Known, check_flags

CHECKS: Mapping[Server, Check] = {
    "vllm": lint_vllm.check,
    "sglang": lint_sglang.check,
    "llama.cpp": lint_llamacpp.check,
}


def lint(text: str, known: Known) -> list[Finding]:
    """What to change in a command, errors first. Raises BadRequestError if it starts none of the known servers."""
    command = parse(text)
    found = dict.fromkeys([*check_flags(command), *CHECKS[command.server](command, known)])
    return sorted(found, key=lambda finding: finding.level != "error")
