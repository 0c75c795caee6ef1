"""The table of models: filter, order, many of them."""

from __future__ import annotations

import pytest
from canned import CannedApp
from model_answers import MODELS, many_models
from textual.pilot import Pilot
from tui_rig import NARROW, WIDE, run_app, text_of, wait_until

from edgellm.tui.widgets.model_table import ModelTable


def names(app: CannedApp) -> list[str]:
    """The first words of the rows, as the terminal shows them."""
    lines = text_of(app).splitlines()
    return [line.split()[0] for line in lines if line.startswith(" model-")]


def test_five_hundred_models_are_filtered_as_one_types_and_the_cursor_stays() -> None:
    app = CannedApp({"/api/edgellm/models": many_models(500)})

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: "500 models" in text_of(app), "the list")
        await pilot.press(*["down"] * 7)
        table = app.screen.query_one(ModelTable)
        assert table.selected == "model-007:pi5-q4"
        await pilot.press("slash", *"model-00 does")
        await wait_until(pilot, lambda: "3 of 500 models" in text_of(app), "the filter")
        assert names(app) == ["model-002:pi5-q4", "model-005:pi5-q4", "model-008:pi5-q4"]
        await pilot.press("escape")
        await wait_until(pilot, lambda: "500 models, " in text_of(app), "all")

    run_app(app, use)


@pytest.mark.parametrize("size", [NARROW, WIDE])
def test_sorting_goes_through_the_columns_and_back(size: tuple[int, int]) -> None:
    app = CannedApp({"/api/edgellm/models": many_models(30)})
    sizes = {f"model-{index:03}:pi5-q4": index * 37 % 900 for index in range(30)}

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: "30 models" in text_of(app), "the list")
        await pilot.press("o", "o", "o")  # loaded, fit, size: the largest first
        by_size = sorted(sizes, key=lambda name: -sizes[name])
        await wait_until(pilot, lambda: names(app)[:10] == by_size[:10], "the order")
        await pilot.press("O")
        await wait_until(pilot, lambda: names(app)[:10] == by_size[::-1][:10], "the other way round")

    run_app(app, use, size)


def test_a_filter_without_a_match_says_so() -> None:
    app = CannedApp({"/api/edgellm/models": MODELS, "/api/edgellm/ps": []})

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: "5 models" in text_of(app), "the list")
        await pilot.press("slash", *"nonsense")
        await wait_until(pilot, lambda: "No model has 'nonsense'" in text_of(app), "the note")

    run_app(app, use)


def test_other_columns_have_room_in_a_wider_window() -> None:
    app = CannedApp({"/api/edgellm/models": many_models(3)})

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: "3 models" in text_of(app), "the list")
        assert "Context" not in text_of(app)
        await pilot.resize_terminal(*WIDE)
        await wait_until(pilot, lambda: "Context" in text_of(app), "the columns")
        await pilot.resize_terminal(60, 12)
        await wait_until(pilot, lambda: "Context" not in text_of(app), "fewer columns")

    run_app(app, use)
