"""Tokenizers of model folders: bytes, control tokens, ends, templates; and the fingerprint of the Qwen files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speculatoviz.errors import BadRequestError, ModelError
from support.runtimes import CAN_CONVERT

pytest.importorskip("tokenizers", reason="needs one of the extras")

from speculatoviz.models.tokenizers.hub import HubTokenizer

CONTROL = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


def write(folder: Path, model: dict[str, Any], added: list[dict[str, Any]], **described: Any) -> Path:
    folder.mkdir(exist_ok=True)
    document = {"version": "1.0", "added_tokens": [CONTROL | token for token in added], "model": model}
    document |= {"truncation": None, "padding": None, "normalizer": None, "post_processor": None} | described
    (folder / "tokenizer.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def byte_level(tmp_path: Path) -> Path:
    """é is two bytes, each a token, as byte-level vocabularies write them; row 7 is padding."""
    vocab = {"a": 0, "Ġb": 1, "Ã": 2, "©": 3, "[PAD7]": 7, "b": 8, "Ġ": 9}
    vocab |= {"<|im_end|>": 4, "<|fim_prefix|>": 5, "<tool>": 6}
    return write(
        tmp_path / "bytes",
        {"type": "BPE", "vocab": vocab, "merges": ["Ġ b"]},
        [
            {"id": 4, "content": "<|im_end|>", "special": True},
            {"id": 5, "content": "<|fim_prefix|>", "special": False},
            {"id": 6, "content": "<tool>", "special": False},
        ],
        pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    )


def test_byte_level_tokens(byte_level: Path) -> None:
    tokenizer = HubTokenizer(byte_level, 12)
    assert tokenizer.encode("a bé", special=False) == [0, 1, 2, 3]
    assert [tokenizer.token_bytes(token) for token in (0, 1, 2, 3)] == [b"a", b" b", b"\xc3", b"\xa9"]
    assert [tokenizer.token_bytes(token) for token in (7, 10, 11)] == [b"", b"", b""], "padding and missing rows"
    assert [tokenizer.token_name(token) for token in (6, 10)] == ["<tool>", "[10]"]


def test_control_tokens_are_those_that_look_so(byte_level: Path) -> None:
    tokenizer = HubTokenizer(byte_level, 12)
    assert [tokenizer.token_bytes(token) for token in (4, 5, 6)] == [b"", b"", b"<tool>"]
    assert tokenizer.encode("a<|fim_prefix|><tool>", special=True) == [0, 5, 6]
    with pytest.raises(BadRequestError, match="no token for the character"):
        tokenizer.encode("<|fim_prefix|>", special=False)
    assert tokenizer.eos_ids == {4}


def test_padding_and_unmarked_control_tokens_do_not_change_the_fingerprint(byte_level: Path) -> None:
    padded = HubTokenizer(byte_level, 12).fingerprint
    document = json.loads((byte_level / "tokenizer.json").read_text())
    del document["model"]["vocab"]["[PAD7]"]
    document["added_tokens"][1]["special"] = True
    (byte_level / "tokenizer.json").write_text(json.dumps(document))
    assert HubTokenizer(byte_level, 8_000).fingerprint == padded
    document["added_tokens"][2]["special"] = True
    (byte_level / "tokenizer.json").write_text(json.dumps(document))
    assert HubTokenizer(byte_level, 12).fingerprint != padded


def test_sentencepiece_tokens(tmp_path: Path) -> None:
    vocab = {"<unk>": 0, "<s>": 1, "▁a": 2, "▁": 3, "b": 4, "<0xC3>": 5, "<0xA9>": 6, "<0x0A>": 7, "a": 8}
    folder = write(
        tmp_path / "pieces",
        {"type": "BPE", "vocab": vocab, "merges": ["▁ a"], "byte_fallback": True, "unk_token": "<unk>"},
        [{"id": 0, "content": "<unk>", "special": True}, {"id": 1, "content": "<s>", "special": True}],
        normalizer={"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        pre_tokenizer=None,
        decoder={"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
    )
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<s>"}}))
    tokenizer = HubTokenizer(folder, 9)
    ids = tokenizer.encode(" ab\né", special=False)
    assert b"".join(tokenizer.token_bytes(token) for token in ids) == " ab\né".encode()
    assert tokenizer.eos_ids == {1}


def test_ends_come_from_wherever_they_are_declared(byte_level: Path) -> None:
    (byte_level / "config.json").write_text(json.dumps({"eos_token_id": 6}))
    (byte_level / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 6]}))
    assert HubTokenizer(byte_level, 12).eos_ids == {0, 4, 6}


TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}"


@pytest.mark.parametrize("place", ["file", "config", "named"])
def test_the_chat_template_is_found(byte_level: Path, place: str) -> None:
    config: dict[str, Any] = {"bos_token": "<b>"}
    if place == "file":
        (byte_level / "chat_template.jinja").write_text(TEMPLATE)
    else:
        named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": TEMPLATE}]
        config["chat_template"] = TEMPLATE if place == "config" else named
    (byte_level / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = HubTokenizer(byte_level, 12)
    assert tokenizer.has_chat_template
    assert tokenizer.render_chat([{"role": "user", "content": "hi"}]) == "<b>[hi]"


def test_a_model_without_a_template_says_so(byte_level: Path) -> None:
    tokenizer = HubTokenizer(byte_level, 12)
    assert not tokenizer.has_chat_template
    with pytest.raises(BadRequestError, match="no chat template"):
        tokenizer.render_chat([])


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        (DEEP, "nested too deeply"),
        ("{}", "describes no tokenizer"),
        ("[]", "describes no tokenizer"),
        ("null", "has no tokenizer|describes no tokenizer"),
        ('{"added_tokens": []}', "describes no tokenizer"),
        ('{"model": {}, "added_tokens": 3}', "added tokens without an id or a text"),
        ('{"model": {}, "added_tokens": ["<s>"]}', "added tokens without an id or a text"),
        ('{"model": {}, "added_tokens": [{"id": "1", "content": "<s>"}]}', "added tokens without an id or a text"),
        ('{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}', "cannot be read"),
        ('{"model": {"type": "abacus"}}', "cannot be read"),
    ],
)
def test_a_tokenizer_file_that_describes_nothing_is_refused_in_words(
    byte_level: Path, content: str, words: str
) -> None:
    (byte_level / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match=words) as refused:
        HubTokenizer(byte_level, 12)
    assert str(byte_level) in refused.value.message


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, "cannot be read"),
        ({"pre_tokenizer": {"type": "FixedLength", "length": 0}}, "cannot be used"),
        (
            {
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [
                        {"SpecialToken": {"id": "<none>", "type_id": 0}},
                        {"Sequence": {"id": "A", "type_id": 0}},
                    ],
                    "pair": [],
                    "special_tokens": {},
                }
            },
            "cannot be used",
        ),
    ],
)
def test_a_part_that_the_library_panics_at_is_refused_in_words(
    byte_level: Path, part: dict[str, Any], words: str
) -> None:
    document = json.loads((byte_level / "tokenizer.json").read_text())
    (byte_level / "tokenizer.json").write_text(json.dumps(document | part))
    with pytest.raises(ModelError, match=words):
        HubTokenizer(byte_level, 12)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer_config.json", '{"bos_token": [1], "eos_token": {"content": 7}, "chat_template": [3]}'),
        ("config.json", '{"eos_token_id": {"a": "b"}}'),
        ("generation_config.json", '{"eos_token_id": ["x", true, null, 4]}'),
    ],
)
def test_odd_entries_beside_a_tokenizer_are_left_out(byte_level: Path, file: str, content: str) -> None:
    (byte_level / file).write_text(content)
    tokenizer = HubTokenizer(byte_level, 12)
    assert tokenizer.eos_ids == {4}
    assert not tokenizer.has_chat_template


@pytest.mark.qwen
@pytest.mark.skipif(not CAN_CONVERT, reason="needs the extra hf")
@pytest.mark.full
def test_the_qwen_files_and_their_transformers_tokenizer_are_one_vocabulary(
    qwen_paths: tuple[Path, Path], tmp_path: Path
) -> None:
    """As converted, with 271 rows of padding, and as published: without them, and fill-in-the-middle not marked."""
    from transformers import AutoTokenizer

    from speculatoviz.models.tokenizers.llamacpp import VocabularyFile

    of_files = {VocabularyFile(path).fingerprint for path in qwen_paths}
    assert len(of_files) == 1
    draft = qwen_paths[1]
    AutoTokenizer.from_pretrained(draft.parent, gguf_file=draft.name).save_pretrained(tmp_path)
    converted = HubTokenizer(tmp_path, 151_936)
    assert {converted.fingerprint} == of_files

    document = json.loads((tmp_path / "tokenizer.json").read_text())
    vocab = document["model"]["vocab"]
    document["model"]["vocab"] = {text: token for text, token in vocab.items() if not text.startswith("[PAD")}
    assert len(vocab) - len(document["model"]["vocab"]) == 271
    for token in document["added_tokens"]:
        token["special"] = token["special"] and "fim" not in token["content"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    published = HubTokenizer(tmp_path, 152_064)
    assert {published.fingerprint} == of_files
    assert published.eos_ids >= {151_643, 151_645}

    vocab = document["model"]["vocab"]
    vocab["Ġthe"], vocab["Ġof"] = vocab["Ġof"], vocab["Ġthe"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    assert {HubTokenizer(tmp_path, 151_936).fingerprint} != of_files, "the twin"
