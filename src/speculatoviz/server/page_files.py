"""The files of the page: compressed, and cached by the browser for as long as they stay the same."""

from __future__ import annotations

import os
import re
from pathlib import Path

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

_ASSETS = "assets"  # the build names these files by their content
_FOREVER = "public, max-age=31536000, immutable"
_LEAST_BYTES = 1024  # smaller answers are not compressed
_GZIP_LEVEL = 6
PLACES = ("learn", "compare", "runs")  # addresses of the page itself: the browser decides what they show
_RUN = re.compile(r"runs/[^/]+")  # likewise, one kept run


class CachedFiles(StaticFiles):
    """Files below `assets` never change under their name. A browser asks again for all others: 304 if unchanged."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return super().lookup_path("index.html" if path in PLACES or _RUN.fullmatch(path) else path)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        is_asset = Path(full_path).parent.name == _ASSETS and status_code == 200
        response.headers["Cache-Control"] = _FOREVER if is_asset else "no-cache"
        return response


def page_files(folder: Path) -> ASGIApp:
    """The application that answers with the files of a folder, and with its index.html at / and at the places."""
    files = CachedFiles(directory=folder, html=True)
    return GZipMiddleware(files, minimum_size=_LEAST_BYTES, compresslevel=_GZIP_LEVEL)
