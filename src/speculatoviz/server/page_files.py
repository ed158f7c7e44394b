"""The files of the page: compressed, and cached by the browser for as long as they stay the same."""

from __future__ import annotations

import os
import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

_ASSETS = "assets"  # the build names these files by their content
_FOREVER = "public, max-age=31536000, immutable"
_LEAST_BYTES = 1024  # smaller answers are not compressed
_GZIP_LEVEL = 6
_PACKED = {"br": ".br", "gzip": ".gz"}  # what the build writes beside a file, the smaller one first
PLACES = (
    "learn",
    "compare",
    "runs",
    "classroom",
    "traffic",
)  # the page decides what they show
_RUN = re.compile(r"runs/[^/]+")  # likewise, one kept run


class CachedFiles(StaticFiles):
    """Files below `assets` never change under their name. A browser asks again for all others: 304 if unchanged.

    A browser gets the compressed copy of a file that the build wrote, if it can read it.
    """

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return super().lookup_path("index.html" if path in PLACES or _RUN.fullmatch(path) else path)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        is_asset = Path(full_path).parent.name == _ASSETS and status_code == 200
        packed = _packed(Path(full_path), Headers(scope=scope).get("accept-encoding", ""))
        if packed is None:
            response = super().file_response(full_path, stat_result, scope, status_code)
        else:
            encoding, copy = packed
            response = super().file_response(copy, copy.stat(), scope, status_code)
            response.headers["Content-Encoding"] = encoding
            response.headers.add_vary_header("Accept-Encoding")
        response.headers["Cache-Control"] = _FOREVER if is_asset else "no-cache"
        return response


def _packed(path: Path, accepted: str) -> tuple[str, Path] | None:
    """The encoding and the compressed copy of a file that a client accepts; None without one."""
    known = _encodings(accepted)
    copies = ((encoding, path.with_name(path.name + ending)) for encoding, ending in _PACKED.items())
    return next(((encoding, copy) for encoding, copy in copies if encoding in known and copy.exists()), None)


def _encodings(accepted: str) -> set[str]:
    """The names in a header Accept-Encoding, without those that it forbids by q=0."""
    parts = [[piece.strip() for piece in part.split(";")] for part in accepted.lower().split(",")]
    return {name for name, *rest in parts if not any(re.fullmatch(r"q=0(\.0*)?", piece) for piece in rest)}


def page_files(folder: Path) -> ASGIApp:
    """The application that answers with the files of a folder, and with its index.html at / and at the places."""
    files = CachedFiles(directory=folder, html=True)
    return GZipMiddleware(files, minimum_size=_LEAST_BYTES, compresslevel=_GZIP_LEVEL)
