"""The table of models: filter, order, many of them."""

from __future__ import annotations

from typing import Any

import pytest
from canned import CannedApp
from model_answers import DEVICES, FIT, MODELS, many_models
from textual.pilot import Pilot
from tui_rig import NARROW, WIDE, run_app, text_of, wait_until

from edgellm.tui.modals.help import HelpModal
from edgellm.tui.models.listing import COLUMNS
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


@pytest.mark.parametrize("width", range(60, 121, 5))
def test_columns_are_shown_whole_or_not_at_all(width: int) -> None:
    app = CannedApp({"/api/edgellm/models": MODELS, "/api/edgellm/ps": []})

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: "5 models" in text_of(app), "the list")
        table = app.screen.query_one(ModelTable)
        assert table.virtual_size.width <= width
        await wait_until(pilot, lambda: "Name" in text_of(app), "the titles")
        titles = next(line for line in text_of(app).splitlines() if "Name" in line).replace(" v", "").split()
        assert titles == [column.title for column in COLUMNS][: len(titles)]
        assert len(titles) >= (7 if width == 120 else 2)

    run_app(app, use, (width, 24))


def test_several_keys_of_one_action_are_shown_by_their_names_and_are_one_command() -> None:
    app = CannedApp({"/api/edgellm/models": MODELS, "/api/edgellm/ps": []})

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: "5 models" in text_of(app), "the list")
        commands = [command.title for command in app.get_system_commands(app.screen)]
        assert sorted(set(commands)) == sorted(commands)
        await pilot.press("question_mark")
        await wait_until(pilot, lambda: isinstance(app.screen, HelpModal), "the keys")
        assert [keys for keys, text in HelpModal(app.screen_stack[-2])._rows if text == "Keys"] == ["?, f9"]

    run_app(app, use)


def test_enter_goes_from_the_source_to_the_table_and_says_what_it_does_there() -> None:
    jobs: dict[str, Any] = {"id": "1", "order": {"kind": "pull", "model": "acme/assistant"}, "created": 0.0}
    answers = {"/api/edgellm/models": MODELS, "/api/edgellm/ps": [], "/api/edgellm/devices": DEVICES}
    app = CannedApp(answers | {"/api/edgellm/fit": FIT, "/api/edgellm/jobs": jobs, "/api/edgellm/jobs/stream": []})

    async def use(pilot: Pilot[None]) -> None:
        await wait_until(pilot, lambda: "5 models" in text_of(app), "the list")
        await pilot.press("a")
        await wait_until(pilot, lambda: "Raspberry Pi 5, 8.0 GiB" in text_of(app), "the devices")
        await pilot.press(*"acme/assistant", "enter")  # before anything was looked at
        await wait_until(pilot, lambda: "Enter adds Q4_K_M" in text_of(app), "the table")
        await pilot.press("down")
        await wait_until(pilot, lambda: "Enter adds Q2_K" in text_of(app), "the next row")
        app.screen.query_one("#source").focus()
        await wait_until(pilot, lambda: "Enter adds" not in text_of(app), "the field")
        await pilot.press("enter")  # what fits is there already
        await wait_until(pilot, lambda: "Enter adds Q2_K" in text_of(app), "the table again")
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.current_mode == "jobs", "the job")

    run_app(app, use)
    orders = [body for path, body in app.canned.asked if path == "/api/edgellm/jobs" and body]
    assert [(order["quant"], order["format"]) for order in orders] == [("Q2_K", "gguf")]
