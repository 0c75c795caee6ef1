from pathlib import Path

import pytest

from edgellm.errors import EdgeLLMError, NotFoundError, UsageError
from edgellm.sources.local import open_source


def test_a_checkpoint_folder_and_a_gguf_file_are_told_apart(tmp_path: Path, tiny_llm: Path) -> None:
    assert open_source(str(tiny_llm)).kind == "checkpoint"
    (tmp_path / "m.Q4_0.gguf").write_bytes(b"GGUF" + bytes(20))
    source = open_source(str(tmp_path / "m.Q4_0.gguf"))
    assert (source.kind, source.name) == ("gguf", "m.Q4_0")


def test_what_is_neither_says_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(UsageError, match=r"no config\.json") as caught:
        open_source(str(tmp_path))
    assert "x.gguf" in (caught.value.hint or "")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UsageError, match="not a GGUF file"):
        open_source(str(tmp_path / "notes.txt"))


def test_an_adapter_is_packed_with_its_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UsageError, match="LoRA adapter") as caught:
        open_source(str(tmp_path))
    assert "--adapter" in (caught.value.hint or "")


def test_a_hub_id_says_how_to_download_it() -> None:
    with pytest.raises(NotFoundError) as caught:
        open_source("Qwen/Qwen2.5-0.5B-Instruct")
    assert "edgellm pull Qwen/Qwen2.5-0.5B-Instruct" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["no/such/path/at/all", "x\0y", "a" * 5000])
def test_odd_paths_give_clear_errors(text: str) -> None:
    with pytest.raises(EdgeLLMError):
        open_source(text)
