"""The parts of a split GGUF as one model: found by name, read in order, refused when they do not belong together."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from edgellm.errors import EdgeLLMError, Interrupted, ModelFileError, NotFoundError, UnsupportedError, UsageError
from edgellm.formats.gguf import read_header
from edgellm.formats.gguf_split import GGUFModel, find_parts, model_name, read_model
from edgellm.progress import CancelToken, SilentProgress
from edgellm.sources.local import LocalSource, open_source
from edgellm_converters.gguf import adopt, adopted_size, requantize, requantized_size
from edgellm_converters.gguf.encode import encode_entry, make_layout
from edgellm_converters.recipes import get_recipe
from gguf_parts import split_gguf

Tensor = tuple[str, tuple[int, ...]]
EMBEDDING: Tensor = ("token_embd.weight", (32, 4))
NORM: Tensor = ("output_norm.weight", (32,))


def part(
    path: Path,
    number: object,
    count: object = 2,
    total: object = 2,
    tensors: tuple[Tensor, ...] = (EMBEDDING,),
    architecture: str = "",
) -> Path:
    """A part by hand; None leaves a key out."""
    entries = [("general.architecture", architecture, "str")] if architecture else []
    keys = [encode_entry(entry) for entry in entries]
    for key, value in (("split.no", number), ("split.count", count), ("split.tensors.count", total)):
        if value is not None:
            keys.append(encode_entry((key, value, "str" if isinstance(value, str) else "i32")))
    layout = make_layout(keys, [(name, "F32", shape) for name, shape in tensors])
    path.write_bytes(layout.header + bytes(layout.total_bytes - len(layout.header)))
    return path


def merged(model: GGUFModel) -> bytes:
    sink = io.BytesIO()
    adopt(model, sink, progress=SilentProgress(), cancel=CancelToken())
    return sink.getvalue()


@pytest.fixture
def parts(tiny_gguf: Path, tmp_path: Path) -> list[Path]:
    return split_gguf(tiny_gguf, tmp_path, "tiny", 3)


def test_the_whole_is_what_was_split(parts: list[Path], tiny_gguf: Path) -> None:
    model, whole = read_model(parts), read_header(tiny_gguf)
    assert [(t.name, t.type, t.shape) for t in model.header.tensors] == [
        (t.name, t.type, t.shape) for t in whole.tensors
    ]
    assert model.header.metadata == whole.metadata
    assert {t.part for t in model.header.tensors} == {0, 1, 2}
    assert model.header.file_bytes == sum(path.stat().st_size for path in parts)
    data = tiny_gguf.read_bytes()
    for ours, theirs in zip(model.header.tensors, whole.tensors, strict=True):
        held = parts[ours.part].read_bytes()[ours.offset_bytes : ours.offset_bytes + ours.size_bytes]
        assert held == data[theirs.offset_bytes : theirs.offset_bytes + theirs.size_bytes]


def test_merging_promises_its_size_and_gives_a_whole_file(parts: list[Path], tiny_gguf: Path, tmp_path: Path) -> None:
    model = read_model(parts, skip_arrays=True)
    data = merged(model)
    assert len(data) == adopted_size(model)
    (tmp_path / "merged.gguf").write_bytes(data)
    header, whole = read_header(tmp_path / "merged.gguf"), read_header(tiny_gguf)
    assert data[header.data_offset_bytes :] == tiny_gguf.read_bytes()[whole.data_offset_bytes :]
    assert merged(read_model([tmp_path / "merged.gguf"])) == data


def test_requantizing_parts_gives_the_file_that_the_whole_gives(parts: list[Path], tiny_gguf: Path) -> None:
    def requantized(paths: list[Path]) -> bytes:
        sink, model = io.BytesIO(), read_model(paths, skip_arrays=True)
        targets = [(get_recipe("Q8_0"), sink)]
        requantize(model, targets, threads=2, progress=SilentProgress(), cancel=CancelToken())
        assert len(sink.getvalue()) == requantized_size(model, get_recipe("Q8_0"))
        return sink.getvalue()

    assert requantized(parts) == requantized([tiny_gguf])


def test_any_part_stands_for_all(parts: list[Path]) -> None:
    for path in parts:
        source = open_source(str(path))
        assert (source.kind, source.path, source.name, source.parts) == ("gguf", parts[0], "tiny", tuple(parts))


def test_parts_may_be_given_whatever_they_are_called(parts: list[Path], tmp_path: Path) -> None:
    expected = merged(read_model(parts))
    renamed = tuple(path.rename(tmp_path / f"{number:064x}") for number, path in enumerate(parts))
    source = LocalSource("gguf", renamed[0], "tiny", renamed)
    assert merged(read_model(source.parts)) == expected


def test_a_plain_file_is_its_only_part(tiny_gguf: Path, tiny_llm: Path) -> None:
    assert open_source(str(tiny_gguf)).parts == (tiny_gguf,) == find_parts(tiny_gguf)
    assert LocalSource("gguf", tiny_gguf, "x").parts == (tiny_gguf,)
    assert open_source(str(tiny_llm)).parts == ()
    assert not read_model([tiny_gguf]).is_split


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a-00001-of-00003.gguf", "a"),
        ("a-00001-of-00001.gguf", "a"),
        ("a-00004-of-00003.gguf", "a-00004-of-00003"),
        ("a-00000-of-00003.gguf", "a-00000-of-00003"),
        ("-00001-of-00003.gguf", "-00001-of-00003"),
        ("a-1-of-3.gguf", "a-1-of-3"),
        ("a-00001-of-00003.GGUF", "a-00001-of-00003.GGUF"),
        ("a\n-00001-of-00002.gguf", "a\n"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert model_name(name) == expected


def test_missing_parts_are_named(parts: list[Path]) -> None:
    parts[1].unlink()
    with pytest.raises(
        NotFoundError, match=r"1 of the 3 parts of tiny not found .*tiny-00002-of-00003\.gguf"
    ) as caught:
        open_source(str(parts[0]))
    assert "same folder" in (caught.value.hint or "")
    parts[1].mkdir()
    with pytest.raises(NotFoundError):
        find_parts(parts[2])


def test_a_name_of_very_many_parts_is_refused_before_they_are_looked_for(tmp_path: Path) -> None:
    path = part(tmp_path / "x-00001-of-99999.gguf", 0, 99999)
    with pytest.raises(UsageError, match="99999 parts"):
        open_source(str(path))
    with pytest.raises(UsageError, match="at most"):
        read_model([path] * 1000)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"number": 0}, "says that it is part 1; it should be part 2"),
        ({"number": 1, "count": 3}, "3 parts; 2 are there"),
        ({"number": 1, "total": 5}, "another model"),
        ({"number": 1, "architecture": "qwen2"}, "another model"),
        ({"number": 1, "tensors": (EMBEDDING,)}, "token_embd.weight' is in .* and again in"),
        ({"number": 1, "tensors": ()}, "hold 1 tensors, the model has 2"),
        ({"number": "one"}, "does not say which part"),
        ({"number": -1}, "says that it is part 0"),
        ({"number": 1, "count": None}, "does not say which part"),
        ({"number": 1, "total": None}, "does not say which part"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path, second: dict[str, object], reason: str) -> None:
    first = part(tmp_path / "m-00001-of-00002.gguf", 0, architecture="llama")
    other = part(tmp_path / "m-00002-of-00002.gguf", **({"tensors": (NORM,)} | second))  # type: ignore[arg-type]
    with pytest.raises(ModelFileError, match=reason) as caught:
        read_model([first, other])
    assert caught.value.hint
    part(other, 1, tensors=(NORM,))
    assert len(read_model([first, other]).header.tensors) == 2


def test_whole_files_with_the_names_of_parts_are_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"m-0000{number}-of-00002.gguf").write_bytes(tiny_gguf.read_bytes())
    with pytest.raises(ModelFileError, match="does not say which part") as caught:
        read_model(open_source(str(tmp_path / "m-00001-of-00002.gguf")).parts)
    assert "rename" in (caught.value.hint or "")


def test_a_part_under_another_name_says_how_to_name_it(parts: list[Path], tmp_path: Path) -> None:
    odd = parts[1].rename(tmp_path / "model.gguf")
    with pytest.raises(UnsupportedError, match="one of 3 parts") as caught:
        read_model(open_source(str(odd)).parts)
    assert "NAME-00001-of-00003.gguf" in (caught.value.hint or "")


def test_no_prefix_of_a_part_is_taken(parts: list[Path]) -> None:
    data = parts[2].read_bytes()
    for length in (*range(0, 200, 7), len(data) // 2, len(data) - 32):
        parts[2].write_bytes(data[:length])
        with pytest.raises(EdgeLLMError, match="tiny-00003-of-00003"):
            read_model(parts)


def test_a_part_that_shrinks_after_its_header_was_read_is_noticed(parts: list[Path]) -> None:
    model = read_model(parts)
    parts[1].write_bytes(parts[1].read_bytes()[:-4096])
    with pytest.raises(ModelFileError, match="changed while it was read"):
        merged(model)


def test_cancelling_stops_a_merge(parts: list[Path]) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Interrupted):
        adopt(read_model(parts), io.BytesIO(), progress=SilentProgress(), cancel=cancel)


def test_shapes_and_a_first_part_without_tensors(tmp_path: Path) -> None:
    """As llama-gguf-split writes with --no-tensor-first-split; it also leaves trailing ones out of shapes."""
    column: Tensor = ("column.weight", (32, 1, 1))
    first = part(tmp_path / "m-00001-of-00002.gguf", 0, tensors=(), architecture="llama")
    second = part(tmp_path / "m-00002-of-00002.gguf", 1, tensors=(EMBEDDING, column))
    (tmp_path / "merged.gguf").write_bytes(merged(read_model([first, second])))
    shapes = {tensor.name: tensor.shape for tensor in read_header(tmp_path / "merged.gguf").tensors}
    assert shapes == {"token_embd.weight": (32, 4), "column.weight": (32,)}
