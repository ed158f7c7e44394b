"""Names and URLs of remote targets as they may be shown: without the credentials that they can contain."""

from __future__ import annotations

import re

_PREFIX = r"(?:[\w.-]+:)?[\w+.-]+://"
_ADDRESS = re.compile(
    rf"(?P<prefix>{_PREFIX})(?P<user>[^/?#]*@)?(?P<place>(?:\[[^\]/?#]*\]|[^:/?#@]*)(?::\d*)?)(?=[/?#]|$)"
)
_UNREADABLE = re.compile(rf"(?P<prefix>{_PREFIX}|(?:openai|vllm|sglang|verifier):|[\w.-]+:(?=[^@]*:))")


def shown_url(url: str, scheme: str) -> str:
    """The URL in the name of a target of this scheme, without credentials."""
    return without_credentials(f"{scheme}:{url}").removeprefix(f"{scheme}:")


def without_credentials(name: str) -> str:
    """`http://user:password@host/path` as `http://host/path`, also after the scheme of a target (`openai:http://…`).

    If a name cannot be read as an address, everything before the last @ may be a password, and is left out.
    """
    if "@" not in name:
        return name
    if found := _ADDRESS.match(name):
        return f"{found['prefix']}{found['place']}{name[found.end() :]}"
    if found := _UNREADABLE.match(name):
        return f"{found['prefix']}{name.rpartition('@')[2]}"
    return name
