"""Any text is tokenized or refused in words: none ends the process, takes minutes or loses a character."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import speculatoviz
from speculatoviz.errors import BadRequestError
from speculatoviz.models.tokenizers import limits
from speculatoviz.models.tokenizers.limits import MOST_CHARACTERS, MOST_SQUARES, check_text, with_stack
from speculatoviz.models.tokenizers.llamacpp import VocabularyFile
from support.tiny_gguf import TOKEN_TYPE, write_tiny
from support.vocabularies import byte_letters, write_folder, write_gguf

# Pre-tokenizers that llama.cpp reads with std::regex, and one (gpt-2) that it has code for.
PRE_TOKENIZERS = ("gpt-4o", "tekken", "deepseek-llm", "deepseek-v3", "llama4", "youtu", "exaone-moe", "bloom", "gpt-2")
RUN = 60_000
PLAIN_STACK_BYTES = 8 << 20  # of a thread on Linux

# argv[1]: JSON lists of (path, text, whether llama.cpp is called directly). Prints the number of ids of each.
CHILD = f"""
import json, resource, sys, threading
from pathlib import Path
from speculatoviz.models.tokenizers.llamacpp import VocabularyFile

def work():
    for path, unit, count, direct in json.loads(sys.argv[1]):
        tokenizer, text = VocabularyFile(Path(path)), unit * count
        ids = tokenizer._tokenized(text.encode(), False) if direct else tokenizer.encode(text, special=False)
        print(len(ids), flush=True)

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
threading.stack_size({PLAIN_STACK_BYTES})
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def run_child(*texts: tuple[Path, str, int, bool]) -> subprocess.CompletedProcess[str]:
    asked = json.dumps([(str(path), *how) for path, *how in texts])
    source = str(Path(speculatoviz.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", CHILD, asked],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": source},
    )


def bpe(folder: Path, pre: str) -> Path:
    return write_tiny(folder / f"{pre}.gguf", "bpe", fields={"tokenizer.ggml.pre": pre})


# ---- long texts ----


def test_a_long_word_is_tokenized_by_every_pre_tokenizer(tmp_path: Path) -> None:
    asked = [(bpe(tmp_path, pre), unit, RUN, False) for pre in PRE_TOKENIZERS for unit in ("a", "!")]
    child = run_child(*asked)
    assert (child.returncode, child.stdout.split()) == (0, [str(RUN)] * len(asked)), child.stderr[-400:]


@pytest.mark.parametrize("pre", ["gpt-4o", "deepseek-llm"])
def test_a_plain_thread_ends_the_process(tmp_path: Path, pre: str) -> None:
    """The broken twin: the same call, in a thread of the usual size."""
    child = run_child((bpe(tmp_path, pre), "a", 100, True), (bpe(tmp_path, pre), "a", RUN, True))
    assert (child.returncode, child.stdout.split()) == (-signal.SIGSEGV, ["100"])


@pytest.mark.parametrize("pre", PRE_TOKENIZERS)
def test_the_ids_are_those_of_a_direct_call(tmp_path: Path, pre: str) -> None:
    tokenizer = VocabularyFile(bpe(tmp_path, pre))
    for text in ("The theme, naïve\N{ROCKET}\n\t1234 + 5;  it's " * 40, "a" * 1_200, "  the" * 300):
        assert len(text) > limits._SHORT
        assert tokenizer.encode(text, special=False) == tokenizer._tokenized(text.encode(), False)


def test_a_long_text_gets_a_stack_of_its_size_and_others_the_usual_one() -> None:
    usual, sizes = threading.stack_size(), list[int]()

    class Thread(threading.Thread):
        def start(self) -> None:
            sizes.append(threading.stack_size())
            super().start()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(limits.threading, "Thread", Thread)
        assert with_stack(1_000, threading.current_thread) is threading.current_thread()
        assert with_stack(100_000, threading.current_thread) is not threading.current_thread()
        with_stack(200_000, list)
    assert sizes[1] - sizes[0] >= 100_000 * 360
    assert threading.stack_size() == usual


def test_what_the_work_raises_is_raised() -> None:
    def fail() -> None:
        raise BadRequestError("It failed.", "")

    with pytest.raises(BadRequestError, match="It failed"):
        with_stack(5_000, fail)


def test_no_memory_for_a_stack_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    usual = threading.stack_size()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(BadRequestError, match="no memory to tokenize a text of 5,000 characters"):
        with_stack(5_000, list)
    assert threading.stack_size() == usual


# ---- texts that no tokenizer is given ----

LONGEST = {kind: int(most**0.5) for kind, most in MOST_SQUARES.items()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a" * (MOST_CHARACTERS + 1), "1,048,577 characters and 1,048,576 are allowed"),
        ("abc\ud800", "character 4 is half of a surrogate pair"),
        ("a" + " " * (LONGEST["spaces"] + 1) + "b", "runs of up to 8,193 spaces"),
        ("7" * (LONGEST["digits"] + 1), "runs of up to 4,097 digits"),
        (("\n" * 2_000 + "a") * 20, "runs of up to 2,000 spaces"),
        (("1" * 600 + "\t" * 600) * 100, "runs of up to 600 digits"),
    ],
)
def test_what_is_too_much_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        check_text(text)
    tokenizer = VocabularyFile(bpe(tmp_path, "gpt-2"))
    for encode in (
        lambda: tokenizer.encode(text, special=True),
        lambda: tokenizer.encode_parts(["a", 258, text]),
        lambda: (
            tokenizer.encode_chat([{"role": "user", "content": text}])
            if tokenizer.has_chat_template
            else check_text(text)
        ),
    ):
        with pytest.raises(BadRequestError, match=message):
            encode()


@pytest.mark.parametrize(
    "text",
    [
        "a" * MOST_CHARACTERS,
        " " * LONGEST["spaces"] + "1" * LONGEST["digits"],
        ("9" * 20 + " " * 40 + "a\n") * 16_000,
        "\N{ROCKET}" * 9_999,
        "",
    ],
)
def test_what_is_not_too_much_is_not_refused(text: str) -> None:
    check_text(text)


def test_texts_with_too_many_names_are_refused(tmp_path: Path) -> None:
    """llama.cpp finds names in a time quadratic in their number: those of its own tokens of a user in every text."""
    types = [TOKEN_TYPE.NORMAL] * 256 + [TOKEN_TYPE.CONTROL, TOKEN_TYPE.USER_DEFINED]
    fields: dict[str, Any] = {"tokens": [*byte_letters(), "<s>", "<think>"], "token_type": list(map(int, types))}
    tokenizer = VocabularyFile(write_gguf(tmp_path / "a.gguf", "bpe", merges=["t h"], **fields))
    for name, special in (("<s>", True), ("<think>", True), ("<think>", False)):
        assert len(tokenizer.encode(name * 3_000, special=special)) == 3_000
        with pytest.raises(BadRequestError, match="more than 32,768 control tokens or other tokens"):
            tokenizer.encode(name * 33_000, special=special)
    assert len(tokenizer.encode("<s>" * 33_000, special=False)) == 99_000


# ---- characters without a token ----


def test_a_byte_without_a_token_is_refused(smol_path: Path) -> None:
    """SmolLM2 lacks six control characters."""
    tokenizer = VocabularyFile(smol_path)
    for character in "\x04\x06\x13\x14\x16\x1d":
        with pytest.raises(BadRequestError, match="no token for the character"):
            tokenizer.encode(f"a{character}b<|im_end|>", special=True)
    apart = [*tokenizer._tokenized(b"a", False), *tokenizer._tokenized(b"b", False)]
    assert tokenizer._tokenized(b"a\x04b", False) == apart, "the twin leaves it out"
    assert tokenizer.encode("a\x05\x07b\r\n\x0b\x00\x7f", special=False)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_letter_without_a_token_is_named(tmp_path: Path, kind: str) -> None:
    if kind == "file":
        tokens = [letter for letter in byte_letters() if letter != "z"]
        fields: dict[str, Any] = {"tokens": tokens, "token_type": [1] * len(tokens), "merges": ["t h"]}
        tokenizer: Any = VocabularyFile(write_gguf(tmp_path / "a.gguf", "bpe", **fields))
        assert tokenizer._tokenized(b"azb", False) == tokenizer._tokenized(b"ab", False), "the twin"
    else:
        hub = pytest.importorskip("speculatoviz.models.tokenizers.hub", reason="needs one of the extras")
        folder = write_folder(tmp_path / "folder", "bytes")
        document = json.loads((folder / "tokenizer.json").read_text())
        del document["model"]["vocab"]["z"]
        (folder / "tokenizer.json").write_text(json.dumps(document))
        tokenizer = hub.HubTokenizer(folder, 512)
        engine = tokenizer._engine
        assert engine.encode("azb").ids == engine.encode("ab").ids, "the twin"
        with pytest.raises(BadRequestError, match="no token for the character 'z'"):
            tokenizer.encode_parts(["a", 4, "z"])
    with pytest.raises(BadRequestError, match="no token for the character 'z'"):
        tokenizer.encode("abz", special=False)
    assert tokenizer.encode("aby", special=False)


def test_a_sentencepiece_vocabulary_without_bytes_ends_no_process(tmp_path: Path) -> None:
    tokens = ["<unk>", "<s>", "</s>", "\u2581", "a", "b", "\u2581a"]
    types = [TOKEN_TYPE.UNKNOWN, *[TOKEN_TYPE.CONTROL] * 2, *[TOKEN_TYPE.NORMAL] * 4]
    fields: dict[str, Any] = {"tokens": tokens, "token_type": list(map(int, types)), "scores": [0.0] * 7}
    path = write_gguf(tmp_path / "a.gguf", "spm", **fields)
    tokenizer = VocabularyFile(path)
    assert tokenizer.encode("a ab", special=False) == [6, 6, 5]
    for special in (True, False):
        with pytest.raises(BadRequestError, match="no token for the character 'é'"):
            tokenizer.encode("aé", special=special)
    assert run_child((path, "é", 1, True)).returncode == -signal.SIGABRT, "the twin"


def test_two_spaces_end_no_process(tmp_path: Path) -> None:
    path = bpe(tmp_path, "whitespace")
    tokenizer = VocabularyFile(path)
    assert tokenizer.encode("a", special=False)
    for text in ("a  b", "a \nb", "\n\n"):
        with pytest.raises(BadRequestError, match="two spaces in a row"):
            tokenizer.encode(text, special=False)
    assert run_child((path, " ", 2, True)).returncode == -signal.SIGABRT, "the twin"


def test_a_character_that_becomes_unknown_is_refused(tmp_path: Path) -> None:
    hub = pytest.importorskip("speculatoviz.models.tokenizers.hub", reason="needs one of the extras")
    folder = write_folder(tmp_path / "folder", "pieces")
    document = json.loads((folder / "tokenizer.json").read_text())
    document["model"]["byte_fallback"] = False
    (folder / "tokenizer.json").write_text(json.dumps(document))
    tokenizer = hub.HubTokenizer(folder, 512)
    assert 0 in tokenizer._engine.encode("aé").ids, "the twin takes it for the unknown token"
    with pytest.raises(BadRequestError, match="no token for some character"):
        tokenizer.encode("aé", special=False)
    document["model"]["unk_token"] = None
    (folder / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(BadRequestError, match="no token for the character 'é'"):
        hub.HubTokenizer(folder, 512).encode("aé<|im_end|>", special=True)
    assert hub.HubTokenizer(folder, 512).encode("a a<|im_end|>", special=True)[-1] == 4


def test_a_folder_that_cuts_texts_off_or_fills_them_up_is_read_whole(tmp_path: Path) -> None:
    hub = pytest.importorskip("speculatoviz.models.tokenizers.hub", reason="needs one of the extras")
    cut = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    full = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None}
    full |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"}
    folder = write_folder(tmp_path / "folder", "bytes", truncation=cut, padding=full)
    tokenizer = hub.HubTokenizer(folder, 512)
    assert [len(tokenizer.encode(text, special=False)) for text in ("b", "bbbbb")] == [1, 5]
