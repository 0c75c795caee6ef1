"""A model in several GGUF files is one model: packed, planned and run by any of its parts."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest

from cli_process import Cli
from edgellm.errors import DoesNotFitError
from edgellm_runtimes.load import LoadRequest, load_backend
from gguf_parts import split_gguf


@pytest.fixture(scope="module")
def whole(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-llm as one Q4_0 file."""
    folder = tmp_path_factory.mktemp("whole")
    packer = Cli(folder / "home")
    packer.run("pack", tiny_llm, "--device", "raspberrypi5", "--quant", "Q4_0")
    weights = packer.json("show", "tiny-llm")["weights_path"]
    return Path(shutil.copyfile(weights, folder / "tiny.gguf"))


@pytest.fixture(scope="module")
def parts(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return split_gguf(whole, tmp_path_factory.mktemp("parts"), "tiny-Q4_0", 3)


def tensors(path: Path) -> dict[str, tuple[str, bytes]]:
    return {
        tensor.name: (tensor.tensor_type.name, np.asarray(tensor.data).tobytes())
        for tensor in gguf.GGUFReader(path).tensors
    }


@pytest.mark.parametrize("given", [0, 2])
def test_any_part_packs_the_whole_model(cli: Cli, whole: Path, parts: list[Path], given: int) -> None:
    cli.run("pack", parts[given], "--device", "raspberrypi5")
    shown = cli.json("show", "tiny-q4_0")
    merged = Path(shown["weights_path"])
    assert tensors(merged) == tensors(whole)
    fields, before = gguf.GGUFReader(merged).fields, gguf.GGUFReader(whole).fields
    # As llama-gguf-split merges: the keys stay, and the count says that nothing else belongs to it.
    assert {key for key in fields if not key.startswith("GGUF.")} - set(before) == {
        "split.no",
        "split.count",
        "split.tensors.count",
    }
    assert fields["split.count"].contents() == 0
    assert set(before) <= set(fields)
    digests = {path.name: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in parts}
    assert shown["plan"]["source"]["files"] == digests


def test_fit_counts_all_parts(cli: Cli, whole: Path, parts: list[Path]) -> None:
    def row(path: Path) -> int:
        return int(cli.json("fit", path, "--device", "raspberrypi5")["rows"][0]["memory"]["weights_bytes"])

    assert row(parts[1]) == row(whole)


def test_a_split_model_runs_where_it_lies(cli: Cli, whole: Path, parts: list[Path]) -> None:
    words = ("Once upon a time", "--raw", "-n", "12", "--temperature", "0")
    expected = cli.run("run", whole, *words).stdout
    assert [cli.run("run", part, *words).stdout for part in (parts[0], parts[2])] == [expected] * 2


def test_loading_counts_all_parts(whole: Path, parts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgellm.devices.local.available_memory_bytes", lambda: 0)

    def needed(path: Path) -> str:
        with pytest.raises(DoesNotFitError) as caught:
            load_backend(LoadRequest(model_path=path, context=512))
        return caught.value.message.removeprefix(path.name)

    assert needed(parts[0]) == needed(parts[1]) == needed(whole)


@pytest.mark.parametrize("damage", ["missing", "foreign", "swapped", "torn"])
def test_incomplete_or_foreign_parts_are_refused(cli: Cli, parts: list[Path], tmp_path: Path, damage: str) -> None:
    copies = [Path(shutil.copyfile(part, tmp_path / part.name)) for part in parts]
    if damage == "missing":
        copies[1].unlink()
    elif damage == "foreign":
        two = split_gguf(parts[0].parent / parts[0].name, tmp_path, "other", 1)
        shutil.copyfile(two[0], copies[1])
    elif damage == "swapped":
        shutil.copyfile(parts[2], copies[1])
    else:
        copies[2].write_bytes(copies[2].read_bytes()[:-1000])
    for words in (["pack", copies[0], "--device", "raspberrypi5"], ["fit", copies[0]], ["run", copies[0], "Hello"]):
        done = cli.run(*words, status=3 if damage == "missing" else 1)
        assert "tiny-Q4_0-0000" in done.stderr
    assert cli.json("list") == []
