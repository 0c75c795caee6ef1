"""A GGUF as the source: adopted byte for byte, requantized as the checkpoint would have been, refused with a reason."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pytest

from checkpoint_maker import CONFIG, StandInVocabulary, make
from edgellm.errors import Interrupted, ModelFileError, UnsupportedError
from edgellm.formats.gguf import read_header
from edgellm.formats.gguf_split import read_model
from edgellm.progress import CancelToken, SilentProgress
from edgellm_converters.checkpoint import open_checkpoint
from edgellm_converters.gguf import GeneralMetadata, adopt, check_requantizable, recipe_of, requantize, requantized_size
from edgellm_converters.gguf.encode import encode_entry, make_layout
from edgellm_converters.gguf.writer import write_gguf
from edgellm_converters.recipes import get_recipe

BIG = CONFIG | {"hidden_size": 256, "intermediate_size": 512}


def written(tmp_path: Path, recipe: str) -> Path:
    make(tmp_path / "c", BIG, dtype="BF16")
    path = tmp_path / f"{recipe}.gguf"
    with open_checkpoint(tmp_path / "c") as checkpoint, path.open("wb") as sink:
        write_gguf(
            checkpoint, StandInVocabulary(), get_recipe(recipe), sink,
            threads=2, progress=SilentProgress(), cancel=CancelToken(), general=GeneralMetadata("x"),
        )  # fmt: skip
    return path


def requantized(path: Path, recipe: str) -> bytes:
    sink = io.BytesIO()
    model = read_model([path], skip_arrays=True)
    [result] = requantize(
        model, [(get_recipe(recipe), sink)], threads=2, progress=SilentProgress(), cancel=CancelToken()
    )
    assert result.size_bytes == len(sink.getvalue()) == requantized_size(model, get_recipe(recipe))
    return sink.getvalue()


def test_adoption_is_byte_for_byte(tmp_path: Path) -> None:
    path = written(tmp_path, "Q4_K_M")
    sink = io.BytesIO()
    result = adopt(read_model([path]), sink, progress=SilentProgress(), cancel=CancelToken())
    assert sink.getvalue() == path.read_bytes()
    assert result.recipe == "Q4_K_M" == recipe_of(read_header(path))
    assert result.size_bytes == path.stat().st_size


@pytest.mark.parametrize("recipe", ["Q4_K_M", "Q8_0", "F16", "Q2_K", "BF16"])
@pytest.mark.parametrize("source", ["BF16", "F32"])
def test_requantizing_gives_the_tensors_of_a_direct_conversion(tmp_path: Path, source: str, recipe: str) -> None:
    direct = written(tmp_path, recipe)
    again = tmp_path / "again.gguf"
    again.write_bytes(requantized(written(tmp_path, source), recipe))
    one, other = read_header(direct), read_header(again)
    assert one.metadata == other.metadata
    assert one.types == other.types
    assert direct.read_bytes()[one.data_offset_bytes :] == again.read_bytes()[other.data_offset_bytes :]


def test_quantized_tensors_are_not_quantized_again(tmp_path: Path) -> None:
    path = written(tmp_path, "Q8_0")
    with pytest.raises(UnsupportedError, match="Q8_0, which cannot become") as caught:
        requantized(path, "Q4_K_M")
    assert "--quant" in (caught.value.hint or "")
    with pytest.raises(UnsupportedError):
        check_requantizable(read_header(path), get_recipe("Q4_K_M"))
    check_requantizable(read_header(path), get_recipe("Q8_0"))


def by_hand(path: Path, entries: list[tuple[str, Any, str]], tensors: list[tuple[str, str, tuple[int, ...]]]) -> None:
    layout = make_layout([encode_entry(entry) for entry in entries], tensors)
    path.write_bytes(layout.header + b"\0" * (layout.total_bytes - len(layout.header)))


def test_other_architectures_are_adopted_and_requantized(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    by_hand(
        path,
        [("general.architecture", "mamba", "str"), ("mamba.block_count", 2, "u32")],
        [
            ("token_embd.weight", "F32", (256, 8)),
            ("blk.0.ssm_conv1d.weight", "F32", (4, 256)),
            ("blk.0.a", "I32", (3,)),
        ],
    )
    again = tmp_path / "again.gguf"
    again.write_bytes(requantized(path, "Q4_K_M"))
    assert {tensor.name: tensor.type for tensor in read_header(again).tensors} == {
        "token_embd.weight": "Q6_K",
        "blk.0.ssm_conv1d.weight": "F32",
        "blk.0.a": "I32",
    }


def test_a_vocabulary_only_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.gguf"
    by_hand(path, [("general.architecture", "llama", "str")], [])
    with pytest.raises(UnsupportedError, match="no tensors"):
        adopt(read_model([path]), io.BytesIO(), progress=SilentProgress(), cancel=CancelToken())


def test_a_file_without_an_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nameless.gguf"
    by_hand(path, [], [("token_embd.weight", "F32", (32, 2))])
    with pytest.raises(ModelFileError, match="architecture"):
        requantized(path, "Q8_0")


def test_torn_and_newer_files_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "F16")
    data = path.read_bytes()
    path.write_bytes(data[:-5000])
    with pytest.raises(ModelFileError, match="cut off"):
        adopt(read_model([path]), io.BytesIO(), progress=SilentProgress(), cancel=CancelToken())
    path.write_bytes(data[:4] + struct.pack("<I", 9) + data[8:])
    with pytest.raises(ModelFileError, match="version 9"):
        requantized(path, "Q8_0")


def test_cancelling_stops_a_copy(tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Interrupted):
        adopt(read_model([written(tmp_path, "F32")]), io.BytesIO(), progress=SilentProgress(), cancel=cancel)
