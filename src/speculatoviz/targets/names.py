"""Names of remote targets as they may be shown: without the credentials that an address can contain."""

from __future__ import annotations

import re

_AUTHORITY = re.compile(
    r"(?P<scheme>[\w+.-]+://)(?P<user>[^/?#]*@)?(?P<host>\[[^\]/?#]*\]|[^:/?#@]*)(?P<port>:\d*)?(?=[/?#]|$)"
)


def without_credentials(name: str) -> str:
    """`scheme:http://user:password@host/path` as `scheme:http://host/path`.

    In a name that cannot be read as an address, everything before the last @ may be a password, and is left out.
    """
    kind, colon, place = name.partition(":")
    if "@" not in place:
        return name
    if found := _AUTHORITY.match(place):
        return f"{kind}{colon}{found['scheme']}{found['host']}{found['port'] or ''}{place[found.end() :]}"
    return f"{kind}{colon}{place.rpartition('@')[2]}"
