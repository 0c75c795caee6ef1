"""GGUF or ONNX is decided by evidence."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgellm.devices.benched import BenchedModel, model_sizes
from edgellm.devices.calibration import this_machine
from edgellm.devices.choice import Choice
from edgellm.devices.fit import FitRequest, choose
from edgellm.devices.format_choice import choose_format, may_be_onnx
from edgellm.devices.load import load_profile
from edgellm.devices.model import ModelShape
from edgellm.devices.profile import Figure, OnnxSpeed, Profile
from edgellm.sources.local import open_source
from edgellm_converters.pack.open_input import open_input

N100 = load_profile("intel-n100").profile


@pytest.fixture(scope="module")
def by_format() -> dict[str, dict[str, ModelShape]]:
    source = open_source(str(Path(__file__).resolve().parents[2] / "models" / "tiny-llm"))
    found = {}
    for to_format in ("gguf", "onnx"):
        with open_input(source, to_format=to_format) as model:
            found[to_format] = {recipe: model.shape(recipe) for recipe in model.recipes()}
    return found


@pytest.fixture
def choices(by_format: dict[str, dict[str, ModelShape]]) -> dict[str, Choice]:
    return {name: choose(shapes, N100, FitRequest(sequences=1)) for name, shapes in by_format.items()}


@pytest.fixture
def shape(by_format: dict[str, dict[str, ModelShape]]) -> ModelShape:
    return by_format["gguf"]["Q4_0"]


def pair(shape: ModelShape, choices: dict[str, Choice], onnx: float, **changes: object) -> list[BenchedModel]:
    """A run in which ONNX was ``onnx`` times as fast."""
    found = []
    for name, speed in (("gguf", 1.0), ("onnx", onnx)):
        one = BenchedModel(
            run="2026-11-26T10:00:00Z",
            machine=this_machine(),
            name=name,
            format="onnx" if name == "onnx" else "gguf",
            recipe=choices[name].recipe,
            sizes=model_sizes(shape),
            prompt_tokens=512,
            streams=8,
            prefill=100.0 * speed,
            decode=10.0 * speed,
            together=20.0 * speed,
            load_s=1.0,
            memory_bytes=None,
        )
        found.append(msgspec.structs.replace(one, **changes) if name == "onnx" else one)
    return found


def test_without_evidence_it_is_gguf_and_the_way_to_evidence_is_named(
    shape: ModelShape, choices: dict[str, Choice]
) -> None:
    verdict = choose_format(shape, choices["gguf"], choices["onnx"], N100)
    assert (verdict.format, verdict.basis) == ("gguf", "unknown")
    assert "edgellm bench" in verdict.why
    assert not may_be_onnx([], N100)


@pytest.mark.parametrize(("onnx", "format_"), [(1.3, "onnx"), (1.06, "onnx"), (1.04, "gguf"), (0.7, "gguf")])
def test_what_was_measured_decides(shape: ModelShape, choices: dict[str, Choice], onnx: float, format_: str) -> None:
    verdict = choose_format(shape, choices["gguf"], choices["onnx"], N100, pair(shape, choices, onnx))
    assert (verdict.format, verdict.basis) == (format_, "measured")
    assert f"{1 / onnx:.2f} times as long" in verdict.why
    assert "2026-11-26" in verdict.why


def test_a_fast_prompt_does_not_make_up_for_slow_answers(shape: ModelShape, choices: dict[str, Choice]) -> None:
    benched = pair(shape, choices, 2.0, decode=7.0)
    assert choose_format(shape, choices["gguf"], choices["onnx"], N100, benched).format == "gguf"


@pytest.mark.parametrize(
    "change",
    [
        {"run": "2026-11-27T10:00:00Z"},  # not in turn with the other one
        {"recipe": "FP32"},
        {"sizes": "another model"},
        {"prompt_tokens": 64},
    ],
)
def test_what_was_not_compared_does_not_decide(
    shape: ModelShape, choices: dict[str, Choice], change: dict[str, object]
) -> None:
    verdict = choose_format(shape, choices["gguf"], choices["onnx"], N100, pair(shape, choices, 2.0, **change))
    assert (verdict.format, verdict.basis) == ("gguf", "unknown")


def test_several_conversations_are_judged_by_the_speed_of_all(shape: ModelShape, choices: dict[str, Choice]) -> None:
    several = {
        name: msgspec.structs.replace(choice, settings=msgspec.structs.replace(choice.settings, sequences=4))
        for name, choice in choices.items()
    }
    benched = pair(shape, choices, 1.0, together=60.0)
    assert choose_format(shape, choices["gguf"], choices["onnx"], N100, benched).format == "gguf"
    assert choose_format(shape, several["gguf"], several["onnx"], N100, benched).format == "onnx"


def test_speed_does_not_buy_quality_context_or_conversations(shape: ModelShape, choices: dict[str, Choice]) -> None:
    worse = msgspec.structs.replace(choices["onnx"], recipe="INT4_128")
    verdict = choose_format(shape, choices["gguf"], worse, N100, pair(shape, choices | {"onnx": worse}, 2.0))
    assert verdict.format == "gguf"
    assert "loses more quality" in verdict.why
    settings = msgspec.structs.replace(choices["onnx"].settings, context=256)
    shorter = msgspec.structs.replace(choices["onnx"], settings=settings)
    verdict = choose_format(shape, choices["gguf"], shorter, N100, pair(shape, choices, 2.0))
    assert verdict.format == "gguf"
    assert "256 tokens of context" in verdict.why
    settings = msgspec.structs.replace(choices["gguf"].settings, sequences=4)
    several = msgspec.structs.replace(choices["gguf"], settings=settings)
    verdict = choose_format(shape, several, choices["onnx"], N100, pair(shape, choices, 2.0))
    assert verdict.format == "gguf"
    assert "1 at once instead of 4" in verdict.why


def test_a_model_that_cannot_become_onnx_stays_gguf(shape: ModelShape, choices: dict[str, Choice]) -> None:
    assert choose_format(shape, choices["gguf"], None, N100, pair(shape, choices, 2.0)).format == "gguf"


def published(prefill: float, decode: float, largest: int = 10**9) -> Profile:
    figure = {name: Figure(source="a report", value=value) for name, value in (("p", prefill), ("d", decode))}
    onnx = OnnxSpeed(prefill=figure["p"], decode=figure["d"], largest_model=largest)
    return msgspec.structs.replace(N100, perf=msgspec.structs.replace(N100.perf, onnx=onnx))


@pytest.mark.parametrize(
    ("profile", "format_"),
    [(published(1.5, 1.2), "onnx"), (published(1.5, 0.8), "gguf"), (published(1.5, 1.2, 1000), "gguf")],
)
def test_a_sourced_figure_of_the_profile_decides_where_nothing_was_measured(
    shape: ModelShape, choices: dict[str, Choice], profile: Profile, format_: str
) -> None:
    assert may_be_onnx([], profile)
    verdict = choose_format(shape, choices["gguf"], choices["onnx"], profile)
    assert (verdict.format, verdict.basis) == (format_, "published")
    measured = choose_format(shape, choices["gguf"], choices["onnx"], profile, pair(shape, choices, 0.5))
    assert (measured.format, measured.basis) == ("gguf", "measured"), "a measurement counts more"
