"""What `edgellm bench` measured is found again, on the machine where it was measured."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgellm.devices.benched import (
    BenchedModel,
    benched_path,
    keep_benched,
    latest_of,
    model_sizes,
    read_benched,
)
from edgellm.devices.calibration import this_machine
from edgellm.devices.model import ModelShape
from edgellm.progress import SilentProgress
from edgellm.sources.local import open_source
from edgellm_converters.pack.open_input import open_input


class Notes(SilentProgress):
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(scope="module")
def shapes() -> dict[str, ModelShape]:
    """tiny-llm in every recipe of both formats."""
    source = open_source(str(Path(__file__).resolve().parents[2] / "models" / "tiny-llm"))
    found = {}
    for to_format in ("gguf", "onnx"):
        with open_input(source, to_format=to_format) as model:
            found |= {recipe: model.shape(recipe) for recipe in model.recipes()}
    return found


def benched(shape: ModelShape, recipe: str, run: str = "2026-11-26T10:00:00Z", decode: float = 10.0) -> BenchedModel:
    package = {"gguf": "llama-cpp-python", "onnx": "onnxruntime"}[shape.format]
    return BenchedModel(
        run=run,
        machine=this_machine(package=package),
        name=f"a:{recipe.lower()}",
        format="onnx" if shape.format == "onnx" else "gguf",
        recipe=recipe,
        sizes=model_sizes(shape),
        prompt_tokens=512,
        streams=8,
        prefill=100.0,
        decode=decode,
        together=20.0,
        load_s=1.0,
        memory_bytes=None,
    )


def test_both_formats_of_a_model_have_the_same_sizes(shapes: dict[str, ModelShape]) -> None:
    assert len({model_sizes(shape) for shape in shapes.values()}) == 1
    wider = msgspec.structs.replace(shapes["Q4_0"], n_embd=512)
    assert model_sizes(wider) != model_sizes(shapes["Q4_0"])


def test_the_last_measurement_of_a_recipe_is_found_again(tmp_path: Path, shapes: dict[str, ModelShape]) -> None:
    keep_benched(tmp_path, [benched(shapes["Q4_0"], "Q4_0")])
    keep_benched(tmp_path, [benched(shapes["Q4_0"], "Q4_0", "2026-11-27T10:00:00Z", 11.0)])
    keep_benched(tmp_path, [benched(shapes["INT4_32"], "INT4_32", "2026-11-28T10:00:00Z", 12.0)])
    found = read_benched(tmp_path)
    latest = latest_of(found, shapes["Q4_0"], "Q4_0")
    assert latest is not None
    assert (latest.decode, latest.date) == (11.0, "2026-11-27")
    assert latest_of(found, shapes["Q8_0"], "Q8_0") is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cpu": "another"}, "it was made on another"),
        ({"threads": 99}, "99 threads"),
        ({"runtime": "onnxruntime 0.1"}, "it was made with onnxruntime 0.1"),
    ],
)
def test_what_another_machine_or_version_measured_does_not_count(
    tmp_path: Path, shapes: dict[str, ModelShape], change: dict[str, object], why: str
) -> None:
    one = benched(shapes["INT4_32"], "INT4_32")
    machine = msgspec.structs.replace(one.machine, **change)
    keep_benched(tmp_path, [msgspec.structs.replace(one, machine=machine)])
    notes = Notes()
    assert read_benched(tmp_path, progress=notes) == ()
    assert why in notes.messages[0]


def test_a_file_that_cannot_be_read_counts_as_none_and_is_said(tmp_path: Path, shapes: dict[str, ModelShape]) -> None:
    benched_path(tmp_path).write_text('{"version": 1, "models": [{"run": "yesterday"}]}')
    notes = Notes()
    assert read_benched(tmp_path, progress=notes) == ()
    assert "bench.json is not used" in notes.messages[0]
    benched_path(tmp_path).write_text('{"version": 2, "models": []}')
    notes = Notes()
    assert read_benched(tmp_path, progress=notes) == ()
    assert "version 2" in notes.messages[0]
    keep_benched(tmp_path, [benched(shapes["Q4_0"], "Q4_0")])
    assert len(read_benched(tmp_path)) == 1, "the next measurement replaces it"


def test_the_oldest_go_when_there_are_many(tmp_path: Path, shapes: dict[str, ModelShape]) -> None:
    many = [benched(shapes["Q4_0"], "Q4_0", f"2026-11-26T10:{n // 60:02}:{n % 60:02}Z") for n in range(250)]
    keep_benched(tmp_path, many)
    assert [one.run for one in read_benched(tmp_path)] == [one.run for one in many[-200:]]
