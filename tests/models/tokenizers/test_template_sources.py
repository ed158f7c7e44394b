"""Where a model's chat template and its special tokens come from: a GGUF file, or the files of a folder."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.errors import BadRequestError
from speculatoviz.models.base import Message, Tokenizer
from speculatoviz.models.runtimes.llamacpp import LlamaCppModel
from speculatoviz.models.tokenizers.llamacpp import VocabularyFile
from support.live_server import poll
from support.tiny_gguf import write_tiny

CHAT: list[Message] = [{"role": "user", "content": "hi"}]
NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "image_token")
TEMPLATE = "".join(f"{name}={{{{ {name} }}}} " for name in NAMES) + "{{ messages[0].content }}"


@pytest.fixture
def gguf(tmp_path: Path) -> Iterator[Callable[..., VocabularyFile]]:
    """Writes and opens GGUF files with further metadata."""
    opened: list[VocabularyFile] = []

    def make(template: str | None, **fields: Any) -> VocabularyFile:
        chosen = {f"tokenizer.{name}": value for name, value in fields.items()}
        path = write_tiny(tmp_path / "tiny.gguf", fields=chosen | {"tokenizer.chat_template": template})
        opened.append(VocabularyFile(path))
        return opened[-1]

    yield make
    for tokenizer in opened:
        tokenizer.close()


def test_a_gguf_file_has_template_and_tokens(gguf: Callable[..., VocabularyFile]) -> None:
    tokenizer = gguf(TEMPLATE, **{"ggml.padding_token_id": 2})
    assert tokenizer.has_chat_template
    assert tokenizer.render_chat(CHAT) == (
        "bos_token=<s> eos_token=</s> unk_token=<unk> pad_token=</s> sep_token= cls_token= image_token= hi"
    )


def test_a_long_template_is_read_whole(gguf: Callable[..., VocabularyFile]) -> None:
    text = "ä" * 10_000
    assert gguf(text + "{{ messages[0].content }}").render_chat(CHAT) == text + "hi"


@pytest.mark.parametrize("template", [None, ""])
def test_a_gguf_file_without_a_template(template: str | None, gguf: Callable[..., VocabularyFile]) -> None:
    """llama.cpp names one of its own for some of them."""
    tokenizer = gguf(template)
    assert not tokenizer.has_chat_template
    tokenizer.close()
    with pytest.raises(BadRequestError, match="no chat template"):
        tokenizer.render_chat(CHAT)


def test_a_closed_model_has_no_process(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", fields={"tokenizer.chat_template": "{{ messages[0].content }}"})
    model = LlamaCppModel(path, 64, 1)
    renderer = model.tokenizer._template._renderer
    assert model.tokenizer.render_chat(CHAT) == "hi"
    assert renderer.pid is not None
    model.close()
    assert renderer.pid is None


def test_a_tokenizer_that_is_dropped_leaves_no_process(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", fields={"tokenizer.chat_template": "{{ messages[0].content }}"})
    tokenizer = VocabularyFile(path)
    tokenizer.render_chat(CHAT)
    process = tokenizer._template._renderer._worker.process
    del tokenizer
    gc.collect()
    poll(lambda: process.poll() is not None, "the process ends")


# ---- folders ----


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Tokenizer]]:
    """Opens a folder with a tokenizer, a tokenizer_config.json and further files."""
    pytest.importorskip("tokenizers", reason="needs one of the extras")
    from speculatoviz.models.tokenizers.hub import HubTokenizer

    opened: list[HubTokenizer] = []

    def make(config: dict[str, Any], **files: str | bytes) -> Tokenizer:
        model = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
        (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        for name, content in files.items():
            path = tmp_path / name.replace("__", ".")
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        opened.append(HubTokenizer(tmp_path, 1))
        return opened[-1]

    yield make
    for tokenizer in opened:
        tokenizer.close()


def test_a_folder_names_its_special_tokens(folder: Callable[..., Tokenizer]) -> None:
    config = {
        "chat_template": TEMPLATE,
        "bos_token": "<b>",
        "eos_token": {"content": "<e>", "lstrip": False},
        "pad_token": None,
        "unk_token": 3,
        "add_bos_token": True,
        "extra_special_tokens": {"image_token": "<image>"},
    }
    assert folder(config).render_chat(CHAT) == (
        "bos_token=<b> eos_token=<e> unk_token= pad_token= sep_token= cls_token= image_token=<image> hi"
    )


HERE = "{{ messages[0].content }}"


@pytest.mark.parametrize(
    ("config", "files"),
    [
        ({"chat_template": "no"}, {"chat_template__jinja": HERE}),
        ({}, {"chat_template__jinja": b"\xff" + HERE.encode()}),
        ({"chat_template": HERE}, {"chat_template__json": '{"chat_template": "no"}'}),
        ({}, {"chat_template__json": json.dumps({"chat_template": HERE})}),
        ({"chat_template": [3, {"name": "tools"}, {"name": "default", "template": HERE}]}, {}),
    ],
    ids=["file first", "not UTF-8", "configuration second", "processor last", "by name"],
)
def test_a_folder_has_its_template_in_one_of_several_places(
    config: dict[str, Any], files: dict[str, Any], folder: Callable[..., Tokenizer]
) -> None:
    assert folder(config, **files).render_chat(CHAT).lstrip("\ufffd") == "hi"


@pytest.mark.parametrize("source", [3, {}, [], [{"name": "tools", "template": "a"}], [{"name": "default"}], ""])
def test_a_folder_whose_template_is_none(source: Any, folder: Callable[..., Tokenizer]) -> None:
    tokenizer = folder({"chat_template": source})
    assert not tokenizer.has_chat_template
    tokenizer.close()
    with pytest.raises(BadRequestError, match="no chat template"):
        tokenizer.render_chat(CHAT)
