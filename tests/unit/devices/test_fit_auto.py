"""What `auto` takes, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_shapes import MODELS, RECIPES, candidates

from edgellm.devices.fit import Choice, FitRequest, choose, fit_table
from edgellm.devices.load import list_profiles, load_profile
from edgellm.errors import DoesNotFitError, UsageError

GIB = 2**30


def pick(device: str, model: str, memory: int | None = None, **request: object) -> Choice:
    return choose(candidates(model), load_profile(device, memory).profile, FitRequest(**request))  # type: ignore[arg-type]


def test_the_best_quality_that_is_fast_enough() -> None:
    assert pick("raspberrypi", "llama3.2-1b").recipe == "Q8_0"
    assert pick("raspberrypi", "llama3.2-3b").recipe == "Q4_K_M"


def test_a_lower_minimum_buys_quality() -> None:
    assert pick("raspberrypi", "llama3.2-3b", min_speed=2.0).recipe == "Q8_0"


def test_when_nothing_is_fast_enough_the_fastest_with_its_speed() -> None:
    choice = pick("raspberrypi", "llama3.1-8b")
    assert choice.recipe == "Q4_K_M"
    assert "No recipe reaches 5 tokens/s" in choice.why
    assert choice.estimate.decode is not None
    assert f"{choice.estimate.decode.low:g}-{choice.estimate.decode.high:g} tokens/s" in choice.why


def test_below_four_bits_only_when_nothing_else_fits() -> None:
    assert pick("raspberrypi", "qwen2.5-14b", memory=16 * GIB).recipe.startswith("Q4")
    assert pick("raspberrypi", "qwen2.5-14b").recipe == "Q2_K"


def test_slow_types_are_avoided() -> None:
    for memory in (2, 4, 8):
        assert pick("raspberrypi", "llama3.2-3b", memory=memory * GIB).recipe not in ("IQ4_XS", "Q3_K_M")


def test_the_second_copy_goes_before_quality_does() -> None:
    choice = pick("raspberrypi", "llama3.2-3b", memory=4 * GIB)
    assert choice.recipe == "Q4_K_M"
    assert not choice.settings.mmap
    assert choice.settings.repack
    smaller = pick("raspberrypi", "llama3.1-8b", memory=8 * GIB, recipe="Q6_K", context=2048)
    assert not (smaller.settings.mmap and smaller.settings.repack)


def test_plenty_of_memory_gives_more_sequences() -> None:
    assert pick("raspberrypi", "smollm2-135m").settings.sequences == 4
    assert pick("raspberrypi", "llama3.2-3b").settings.sequences == 1
    assert pick("raspberrypi", "smollm2-135m", sequences=2).settings.sequences == 2


def test_context_is_capped_by_model_profile_and_memory() -> None:
    assert pick("raspberrypi", "tinyllama-1.1b").settings.context == 2048
    assert pick("raspberrypi", "llama3.2-1b").settings.context == 8192
    assert 4096 <= pick("raspberrypi", "llama3.1-8b", memory=6 * GIB).settings.context < 8192
    assert pick("raspberrypi", "llama3.2-1b", context=16384).settings.context == 16384


def test_a_named_recipe_is_taken() -> None:
    choice = pick("raspberrypi", "llama3.2-1b", recipe="Q4_0")
    assert choice.recipe == "Q4_0"
    assert "as asked" in choice.why


def test_too_big_says_what_would_fit() -> None:
    with pytest.raises(DoesNotFitError) as caught:
        pick("raspberrypi", "llama3.1-70b")
    assert "Raspberry Pi 5 with 8.0 GiB has 7.1 GiB" in caught.value.message
    assert "a device with 25 GiB" in (caught.value.hint or "")
    with pytest.raises(DoesNotFitError) as caught:
        pick("raspberrypi", "llama3.2-3b", context=131072)
    assert "--context" in (caught.value.hint or "")
    with pytest.raises(DoesNotFitError) as caught:
        pick("raspberrypi", "qwen2.5-14b", recipe="Q4_K_M")
    assert "--memory 16GiB" in (caught.value.hint or "")


def test_requests_that_make_no_sense() -> None:
    for request in ({"context": 0}, {"sequences": 0}, {"sequences": 300}, {"recipe": "Q9"}, {"context": 10**6}):
        with pytest.raises(UsageError):
            pick("raspberrypi", "llama3.2-1b", **request)
    with pytest.raises(UsageError):
        choose({}, load_profile("raspberrypi").profile)


def test_the_table_marks_the_choice_and_hides_what_makes_no_sense() -> None:
    choice = pick("raspberrypi", "llama3.2-3b")
    assert [row.recipe for row in choice.table if row.chosen] == [choice.recipe]
    assert "F16" not in [row.recipe for row in choice.table]
    assert "F16" in [row.recipe for row in pick("raspberrypi", "smollm2-135m").table]
    chosen = next(row for row in choice.table if row.chosen)
    assert chosen.settings == choice.settings
    assert chosen.estimate == choice.estimate


def test_the_table_also_exists_when_nothing_fits() -> None:
    rows = fit_table(candidates("llama3.1-70b"), load_profile("raspberrypi").profile)
    assert {row.verdict for row in rows} == {"does not fit"}


def test_an_accelerator_of_the_runtime_is_used() -> None:
    without, with_it = (pick("apple-m4", "llama3.1-8b", accelerators=kinds) for kinds in ((), ("metal",)))
    assert without.estimate.decode is None
    assert with_it.estimate.decode is not None
    assert with_it.estimate.memory.repack_bytes == 0


def test_choices_for_small_boards_are_stable() -> None:
    found = {
        (device, model): (choice.recipe, choice.settings.context, choice.settings.sequences)
        for device, model in (
            ("raspberrypizero2w", "smollm2-135m"),
            ("raspberrypi3bplus", "smollm2-360m"),
            ("raspberrypi4", "llama3.2-1b"),
            ("rk3588", "llama3.2-3b"),
            ("intel-n100", "llama3.2-3b"),
            ("spacemit-k1", "qwen2.5-1.5b"),
        )
        for choice in [pick(device, model)]
    }
    assert found == {
        ("raspberrypizero2w", "smollm2-135m"): ("Q8_0", 2048, 1),
        ("raspberrypi3bplus", "smollm2-360m"): ("Q4_K_S", 2048, 1),
        ("raspberrypi4", "llama3.2-1b"): ("Q8_0", 4096, 1),
        ("rk3588", "llama3.2-3b"): ("Q6_K", 8192, 1),
        ("intel-n100", "llama3.2-3b"): ("Q8_0", 8192, 1),
        ("spacemit-k1", "qwen2.5-1.5b"): ("Q4_0", 8192, 4),
    }


@settings(deadline=None)  # a 70B model has many tensors, and test machines are busy
@given(
    st.sampled_from([profile.id for profile in list_profiles()]),
    st.sampled_from(sorted(MODELS)),
    st.one_of(st.none(), st.integers(2**28, 2**36)),
    st.one_of(st.none(), st.integers(1, 8192)),
    st.one_of(st.none(), st.integers(1, 16)),
    st.floats(0.1, 100),
    st.one_of(st.none(), st.sampled_from(RECIPES)),
)
def test_whatever_is_chosen_fits(
    device: str,
    model: str,
    memory: int | None,
    context: int | None,
    sequences: int | None,
    min_speed: float,
    recipe: str | None,
) -> None:
    profile = load_profile(device, memory).profile
    limit = MODELS[model][-1]
    asked = min(context, limit) if context is not None else None
    try:
        choice = choose(candidates(model), profile, FitRequest(asked, sequences, min_speed, recipe))
    except DoesNotFitError:
        return
    assert choice.estimate.verdict != "does not fit"
    assert choice.estimate.memory.total_bytes + choice.estimate.memory.reserve_bytes <= profile.memory.size_bytes
    assert 1 <= choice.settings.context <= limit
    assert asked is None or choice.settings.context == asked
    assert sequences is None or choice.settings.sequences == sequences
    assert recipe is None or choice.recipe == recipe
    assert choice.why
