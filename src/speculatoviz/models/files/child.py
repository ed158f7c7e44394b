"""A child process that runs llama.cpp or ik_llama.cpp on a file, and words for how it ended.

llama.cpp ends its process for some files, and its messages can be silenced only for a whole process.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence

from speculatoviz.errors import ModelError, reason_of

_MOST_CHARACTERS = 300
_GENERIC = "failed to load model"
_PREFIX = re.compile(r"((llama|gguf|ggml)_\w+: |error loading model: )+")
_ASSERTION = re.compile(r"\S*/([^/\s]+:\d+: )")  # with the folder that llama.cpp was built in


def run_child(module: str, *arguments: str, timeout_s: float | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m module arguments`, with stdin closed and its output captured. Raises ModelError if it does not end
    in time, or cannot be started."""
    try:
        return subprocess.run(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
            # ggml would start a debugger: older versions any that they find.
            env={**os.environ, "GGML_NO_BACKTRACE": "1", "PATH": os.devnull},
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"llama.cpp did not end within {timeout_s:.0f} seconds.", "Choose another file.") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in an argument
        raise ModelError(
            f"No process could be started for llama.cpp ({reason_of(error)}).", "Free memory and try again."
        ) from error


def ending(child: subprocess.CompletedProcess[str]) -> str:
    """How a child ended, and the first error lines it printed: "SIGABRT (unordered_map::at)"."""
    status = child.returncode
    lines = [line for line in child.stderr.splitlines() if not line.startswith("terminate called")]
    found = cause([line.partition("what():")[2] or line for line in lines])
    how = signal.Signals(-status).name if -status in set(signal.Signals) else f"status {status}"
    return f"{how} ({found})" if found else how


def cause(lines: Sequence[str]) -> str:
    """The first error line and, if it adds something, the second, without names of functions and folders.

    The first one names the cause, later ones what failed because of it; after a failed assertion, where it was.
    Characters that are not printable, which can come from a file, are replaced.
    """
    cleaned = [_ASSERTION.sub(r"\1", _PREFIX.sub("", line.strip(), count=1)) for line in lines if line.strip()]
    telling = [line for line in cleaned if line != _GENERIC] or cleaned
    count = 1 if telling and "GGML_ASSERT" in telling[0] else 2
    text = "; ".join(line.rstrip(".") for line in telling[:count])[:_MOST_CHARACTERS]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
