"""The grammar of model names, and where each leads: runtimes, folders, the hub's repositories, missing extras."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from speculatoviz.config import Settings
from speculatoviz.errors import ModelError
from speculatoviz.models import libraries
from speculatoviz.models.files.catalogue import CATALOGUE
from speculatoviz.models.files.download import silent
from speculatoviz.models.files.names import ModelName, locate, parse
from speculatoviz.models.load import Loading, load_model, load_tokenizer

if TYPE_CHECKING:
    from tests.models.conftest import FakeHub, Workshop

FOLDER = "maker/Tiny-MLX"


@pytest.mark.parametrize(
    ("name", "runtime", "place", "is_gguf"),
    [
        ("smollm2-135m-instruct", None, "smollm2-135m-instruct", True),
        ("llamacpp:smollm2-135m-instruct", "llamacpp", "smollm2-135m-instruct", True),
        ("hf:smollm2-135m-instruct", "hf", "smollm2-135m-instruct", True),
        ("ik:smollm2-135m-instruct", "ik", "smollm2-135m-instruct", True),
        ("ik:/models/a", "ik", "/models/a", True),
        ("ik:owner/repo/file.gguf@v1", "ik", "owner/repo/file.gguf@v1", True),
        ("models/a.gguf", None, "models/a.gguf", True),
        ("owner/repo/file.gguf@v1", None, "owner/repo/file.gguf@v1", True),
        ("hf:owner/repo/file.gguf", "hf", "owner/repo/file.gguf", True),
        ("hf:owner/repo@abc", "hf", "owner/repo@abc", False),
        ("mlx:~/models/llama", "mlx", "~/models/llama", False),
        ("mlx-community/Llama-3.2-3B-Instruct-4bit", "mlx", "mlx-community/Llama-3.2-3B-Instruct-4bit", False),
        ("mlx:mlx-community/Llama-3.2-1B-Instruct-4bit", "mlx", "mlx-community/Llama-3.2-1B-Instruct-4bit", False),
    ],
)
def test_a_name_says_its_runtime(name: str, runtime: str | None, place: str, is_gguf: bool) -> None:
    parsed = parse(name)
    assert (parsed.runtime, parsed.place, parsed.is_gguf) == (runtime, place, is_gguf)


def test_the_older_setting_still_names_an_mlx_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAFT_MODEL", "mlx-community/Llama-3.2-3B-Instruct-4bit")
    draft = Settings(_env_file=None).resolved().draft
    assert draft is not None
    assert parse(draft).runtime == "mlx"


@pytest.mark.parametrize("name", ["owner/repo", "owner/repo@main", "."])
def test_a_folder_or_repository_needs_its_runtime(name: str) -> None:
    with pytest.raises(ModelError, match="which runtime") as refusal:
        parse(name)
    assert f"mlx:{name} or hf:{name}" in refusal.value.hint


@pytest.mark.parametrize("name", ["", "gpt-9", "vllm:owner/repo", "a/b/c"])
def test_a_name_of_nothing_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ModelError, match="There is no model") as refusal:
        parse(name)
    assert all(known in refusal.value.hint for known in (*CATALOGUE, "llamacpp:", "ik:", "mlx:", "hf:"))


def find(name: str, cache_dir: Path) -> Path:
    return locate(parse(name), cache_dir, silent)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model@home"
    made.mkdir()
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(b"")
    return made


@pytest.mark.parametrize("runtime", ["mlx", "hf"])
def test_a_local_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    assert find(f"{runtime}:{folder}", tmp_path) == folder
    monkeypatch.chdir(tmp_path)
    assert find(f"{runtime}:{folder.name}", tmp_path) == folder
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find(f"{runtime}:~/{folder.name}", tmp_path) == folder


def test_a_folder_without_safe_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no safetensors") as refusal:
        find(f"hf:{folder}", tmp_path)
    assert "run code" in refusal.value.hint


def test_a_folder_that_is_no_model_and_a_file_that_is_no_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        find(f"mlx:{folder}", tmp_path)
    with pytest.raises(ModelError, match="is a file"):
        find(f"mlx:{folder / 'model.safetensors'}", tmp_path)


def test_what_was_tried_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as refusal:
        find("mlx:nobody/nothing@v2", tmp_path)
    assert f"no folder {tmp_path}/nobody/nothing" in refusal.value.message
    assert "hub repository nobody/nothing@v2" in refusal.value.message
    assert "offline" in refusal.value.message
    with pytest.raises(ModelError, match="tried: no folder"):
        find("hf:/not/here", tmp_path)


def test_a_repository_is_downloaded_once_and_without_pickles(workshop: Workshop, hub: FakeHub) -> None:
    environment = {**hub.environment, "HF_HOME": str(workshop.folder / "hub")}

    status, output, errors = workshop.run(f"mlx:{FOLDER}", **environment)
    assert status == 0, errors
    folder = Path(output.strip())
    assert {file.name for file in folder.iterdir()} == {"config.json", "tokenizer.json", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == workshop.content

    asked = len(hub.requests)
    assert workshop.run(f"hf:{FOLDER}", **environment)[:2] == (0, output)
    offline = environment | {"HF_HUB_OFFLINE": "1"}
    assert workshop.run(f"hf:{FOLDER}", **offline)[:2] == (0, output)
    assert len(hub.requests) == asked

    (folder / "model.safetensors").unlink()
    assert workshop.run(f"mlx:{FOLDER}", **offline)[0] == 1
    assert workshop.run(f"mlx:{FOLDER}", **environment)[:2] == (0, output)
    assert (folder / "model.safetensors").read_bytes() == workshop.content

    status, _, errors = workshop.run("mlx:maker/Other", **environment)
    assert status == 1
    assert "maker/Other@main" in errors


def test_a_cached_tokenizer_is_used_without_asking_the_hub(workshop: Workshop, hub: FakeHub) -> None:
    environment = {**hub.environment, "HF_HOME": str(workshop.folder / "hub")}
    name = f"tokenizer of hf:{FOLDER}"

    status, output, errors = workshop.run(name, **environment)
    assert status == 0, errors
    assert {file.name for file in Path(output.strip()).iterdir()} == {"config.json", "tokenizer.json"}

    asked = len(hub.requests)
    assert workshop.run(name, **environment, HF_HUB_OFFLINE="1")[:2] == (0, output)
    assert workshop.run(name, **environment)[:2] == (0, output)
    assert len(hub.requests) == asked


@pytest.mark.parametrize("name", ["llamacpp:missing.gguf", "ik:missing.gguf", "hf:missing.gguf"])
def test_a_missing_file_is_named_as_it_was_asked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=f"There is no model '{name}'"):
        find(name, tmp_path)


@pytest.mark.parametrize("place", ["x" * 5000, "null\0byte", ""])
@pytest.mark.parametrize("scheme", ["mlx", "hf", "llamacpp", "ik"])
def test_names_that_no_path_can_have_are_refused_in_words(tmp_path: Path, scheme: str, place: str) -> None:
    with pytest.raises(ModelError):
        find(f"{scheme}:{place}", tmp_path)
    with pytest.raises(ModelError):
        load_tokenizer(f"{scheme}:{place}", HOW, silent)


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"vocab_size": "many"}', '{"vocab_size": -1}', '{"text_config": 3}', "\xff"]
)
def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path, config: str) -> None:
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "config.json").write_text(config, encoding="latin-1")
    with pytest.raises(ModelError, match=r"config\.json"):
        load_tokenizer(f"hf:{tmp_path}", HOW, silent)


HOW = Loading(context_tokens=128, cache_dir=Path("nowhere"))


@pytest.mark.parametrize(("runtime", "module", "extra"), [("mlx", "mlx", "mlx"), ("hf", "torch", "hf")])
def test_a_missing_extra_names_the_command(
    monkeypatch: pytest.MonkeyPatch, runtime: str, module: str, extra: str
) -> None:
    honest = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == module:
            raise ImportError(f"No module named {module!r}")
        return honest(name, *args, **kwargs)

    monkeypatch.delitem(__import__("sys").modules, "speculatoviz.models.runtimes.mlx", raising=False)
    monkeypatch.delitem(__import__("sys").modules, "speculatoviz.models.runtimes.transformers", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match=module) as refusal:
        load_model(f"{runtime}:some/model", HOW, None, silent)
    assert f"pip install 'speculatoviz[{extra}]'" in refusal.value.hint


@pytest.mark.parametrize("name", ["mlx:some/model", "hf:some/model"])
def test_only_gguf_files_are_requantised(name: str) -> None:
    with pytest.raises(ModelError, match="cannot be requantised"):
        load_model(name, HOW, "Q4_0", silent)


def test_a_name_reads_as_it_was_written() -> None:
    assert str(ModelName("mlx", "a/b")) == "mlx:a/b"


def test_every_runtime_says_whether_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda module: None if module == "mlx_lm" else object())
    states = libraries.installed()
    assert list(states) == ["llamacpp", "ik", "mlx", "hf"]
    assert states["hf"] == "transformers"
    assert states["mlx"] == "MLX-LM, not installed: pip install 'speculatoviz[mlx]'"
