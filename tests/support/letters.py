"""Folders of small texts that the toy tokenizer can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

LETTERS = "abcdefghijklmnopqrstuvwxyz \n"


def letters(seed: int, length: int) -> str:
    rng = np.random.default_rng(seed)
    return "a" + "".join(LETTERS[place] for place in rng.integers(0, 26, length - 1))


def write_letters(folder: Path, count: int, length: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        (folder / f"{seed:03}.txt").write_text(letters(seed, length))
