"""Model files and folders of the Hugging Face hub.

Contract: a SourceError gives the cause if the hub cannot deliver. Nothing but configuration, tokenizers and safe
weights is fetched from a repository: pickled weights can run code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speculatoviz.models.files.gguf import part_names
from speculatoviz.models.files.source import ReportBytes, ReportOfTotal, SourceError

TIMEOUT_S = 4.0  # for the hub's first answer; what follows has the hub library's own timeouts

TOKENIZER_FILES = ("tokenizer*", "config.json", "generation_config.json", "*.jinja", "special_tokens_map.json")
FOLDER_FILES = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model", "*.txt", "*.tiktoken")


@dataclass(frozen=True)
class HubFile:
    """One file of a repository on the Hugging Face hub, or the first part of a split one."""

    repo: str
    filename: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"hub file {self.repo}/{self.filename}@{self.revision}"


def from_hub(source: HubFile, sha256: str, folder: Path, report: ReportBytes) -> Path:
    """Download into `folder`, which keeps what is needed to resume; the path of the file in it.

    Raises SourceError before the download if the hub already names another hash.
    """
    etag = _probe(source)
    if re.fullmatch("[0-9a-f]{64}", etag) and etag != sha256:  # the etag of a large file is its SHA-256
        raise SourceError(f"the hub's file has the SHA-256 {etag} instead of {sha256}")
    return _download(source, folder, lambda done_bytes, _: report(done_bytes))


def hub_file(source: HubFile, report: ReportOfTotal) -> Path:
    """A file of the hub, through the user's own hub cache. What is cached is used without asking the hub.

    Of a split file all parts are fetched, and the first one's path is returned. Raises SourceError.
    """
    names = part_names(source.filename)
    parts = []
    for place, name in enumerate(names):

        def report_all(done_bytes: int, total_bytes: int, place: int = place) -> None:
            report(place * total_bytes + done_bytes, len(names) * total_bytes)  # as if parts were of one size

        parts.append(_one_file(replace(source, filename=name), report_all))
    return parts[0]


def _one_file(source: HubFile, report: ReportOfTotal) -> Path:
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(source.repo, source.filename, revision=source.revision)
    except Exception as error:  # a name that the hub library refuses
        raise SourceError(_one_line(error)) from error
    if isinstance(found, str):
        return Path(found)
    _probe(source)
    return _download(source, None, report)


def hub_folder(repo: str, revision: str | None, report: ReportOfTotal) -> Path:
    """A repository's configuration, tokenizer and safe weights, through the user's own hub cache.

    What is cached and complete is used without asking the hub. Raises SourceError.
    """
    return _snapshot(repo, revision, FOLDER_FILES, _has_weights, report)


def hub_tokenizer(repo: str, revision: str | None, report: ReportOfTotal) -> Path:
    """A repository's tokenizer and configuration without its weights; otherwise like `hub_folder`."""
    return _snapshot(repo, revision, TOKENIZER_FILES, _has_tokenizer, report)


def _snapshot(
    repo: str, revision: str | None, patterns: Sequence[str], complete: Callable[[Path], bool], report: ReportOfTotal
) -> Path:
    from huggingface_hub import snapshot_download

    wanted: dict[str, Any] = {"revision": revision, "allow_patterns": list(patterns)}
    try:
        found = Path(snapshot_download(repo, local_files_only=True, **wanted))
        if complete(found):
            return found
    except Exception:  # noqa: S110 (not here yet)
        pass
    _probe(HubFile(repo, "config.json", revision or "main"))
    try:
        return Path(snapshot_download(repo, tqdm_class=_reporting_bar(report), **wanted))
    except Exception as error:  # the hub library raises errors of several libraries
        raise SourceError(_one_line(error)) from error


def _has_weights(folder: Path) -> bool:
    """Whether the weights are all there: an interrupted download leaves a folder with some of its files."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return any(folder.glob("*.safetensors")) and (folder / "config.json").is_file()
    shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all((folder / shard).is_file() for shard in shards)


def _has_tokenizer(folder: Path) -> bool:
    """Whether there is a tokenizer beside a configuration, which are fetched together."""
    names = ("tokenizer.json", "tokenizer.model")
    return any((folder / name).is_file() for name in names) and (folder / "config.json").is_file()


def _probe(source: HubFile) -> str:
    """The file's etag. Asks once: without a hub in reach, the library's own retries take a minute."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        url = hf_hub_url(source.repo, source.filename, revision=source.revision)
        return get_hf_file_metadata(url, timeout=TIMEOUT_S).etag or ""
    except Exception as error:  # the hub library raises errors of several libraries
        raise SourceError(_one_line(error)) from error


def _download(source: HubFile, folder: Path | None, report: ReportOfTotal) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(
            hf_hub_download(
                source.repo,
                source.filename,
                revision=source.revision,
                local_dir=folder,
                tqdm_class=_reporting_bar(report),
            )
        )
    except Exception as error:  # as above
        raise SourceError(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400].rstrip(".") or type(error).__name__


def _reporting_bar(report: ReportOfTotal) -> type[Any]:
    """A progress bar that shows nothing and reports: the hub library reports progress to a tqdm class alone."""
    from huggingface_hub.utils.tqdm import tqdm

    class ReportingBar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["disable"] = True
            super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call, unused-ignore]

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            report(int(self.n), int(self.total or 0))

    return ReportingBar
