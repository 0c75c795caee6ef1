"""Answers of the server in words: no terminal is needed for these."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from model_answers import FIT, GIB, LOADED, MIB, MODELS, SHOWN, model

from edgellm.errors import EdgeLLMError, NotFoundError, UsageError
from edgellm.tui.models.details import ModelDetails, card_text, fact_rows, file_lines, license_text
from edgellm.tui.models.fit import FitAnswer, fit_cells, fit_order, fit_summary
from edgellm.tui.models.listing import (
    COLUMNS,
    LoadStatus,
    ModelList,
    ModelRow,
    Room,
    columns_for,
    matching,
    sorted_rows,
    with_progress,
)
from edgellm.tui.models.sources import find_local
from edgellm.tui.themes import THEMES, pick_theme

LISTING = msgspec.convert(MODELS, ModelList)


def cell(key: str, room: Room = LISTING.memory, **changes: Any) -> str:
    row = msgspec.convert(model("one:a", **changes), ModelRow)
    return next(column.text(row, room) for column in COLUMNS if column.key == key)


@pytest.mark.parametrize(
    ("changes", "left_bytes", "badge"),
    [
        ({"fit": "fits", "needed_bytes": GIB}, 4 * GIB, "fits 1.0/4.0 GiB"),
        ({"fit": "tight", "needed_bytes": 3 * GIB}, 4 * GIB, "tight 3.0/4.0 GiB"),
        ({"fit": "fits", "needed_bytes": 100 * MIB}, 900 * MIB, "fits 100.0/900.0 MiB"),
        ({"fit": "fits", "needed_bytes": 5 * GIB}, 4 * GIB, "not now 5.0/4.0 GiB"),
        ({"fit": "fits", "needed_bytes": 5 * GIB}, -GIB, "not now 5.0/0.0 GiB"),
        ({"fit": "does not fit", "needed_bytes": 20 * GIB}, 4 * GIB, "does not 20.0/7.0 GiB"),
        ({"fit": "fits", "needed_bytes": GIB, "state": "ready"}, 4 * GIB, "takes 1.0 GiB"),
        ({"fit": None, "needed_bytes": None}, 4 * GIB, "-"),
    ],
)
def test_the_badge_holds_what_is_needed_against_what_is_free(
    changes: dict[str, Any], left_bytes: int, badge: str
) -> None:
    assert cell("fit", Room(7 * GIB, left_bytes), **changes) == badge


def test_what_others_keep_out_is_not_shown_as_what_fits() -> None:
    row = msgspec.convert(model("one:a", fit="fits", needed_bytes=5 * GIB), ModelRow)
    fit = next(column for column in COLUMNS if column.key == "fit")
    assert [fit.style(row, Room(7 * GIB, left_bytes)) for left_bytes in (6 * GIB, 4 * GIB)] == ["success", "warning"]


def test_the_speed_is_the_last_one_measured_else_the_one_predicted() -> None:
    assert cell("speed", last_decode_tokens_per_s=9.73) == "9.7"
    assert cell("speed") == "~8-11"
    assert cell("speed", predicted_decode=None) == "-"


def test_words_are_looked_for_everywhere() -> None:
    def names(words: str) -> list[str]:
        return [row.name.partition(":")[0] for row in matching(LISTING.models, words)]

    assert names("ONNX") == ["little"]
    assert names("pinned loaded") == ["assistant"]
    assert names("fits q4_k_m raspberry") == ["assistant"]
    assert names("") == [row.name.partition(":")[0] for row in LISTING.models]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.key)
def test_every_column_sorts_what_is_known_and_what_is_not(column: Any) -> None:
    rows = sorted_rows(LISTING.models, column.key, is_reversed=False)
    assert len(rows) == len(LISTING.models)
    assert [column.order(row) for row in rows] == sorted(column.order(row) for row in rows)


def test_a_console_of_80_columns_has_the_columns_that_matter() -> None:
    widths = dict.fromkeys((column.key for column in COLUMNS), 15)
    assert [column.key for column in columns_for(80, widths, 15)] == ["name", "state", "fit", "size", "speed"]
    assert columns_for(15 * len(COLUMNS), widths, 15) == list(COLUMNS)
    assert [column.key for column in columns_for(10, widths, 15)] == ["name"]
    assert [column.key for column in columns_for(91, widths | {"name": 30}, 15)][
        -1
    ] == "speed"  # not at the name's cost
    assert [column.key for column in columns_for(105, widths | {"name": 30}, 15)][-1] == "quant"


def test_how_far_a_model_is_that_loads() -> None:
    listing = with_progress(LISTING, msgspec.convert(LOADED, list[LoadStatus]))
    assert {row.loaded_share for row in listing.models if row.state == "loading"} == {0.42}
    assert {row.state for row in with_progress(LISTING, []).models} == {None}


def test_details_say_the_plan_its_reason_and_what_is_loaded() -> None:
    facts = dict(fact_rows(msgspec.convert(SHOWN, ModelDetails)))
    assert facts["why"].startswith("Q4_K_M is the largest")
    assert facts["made for"] == "Raspberry Pi 5 with 8.0 GiB"
    assert facts["now"] == "ready, 1.5 GiB in use; pinned: stays loaded, and is loaded when the server starts"
    assert facts["prefill"] == "not known for this device"
    assert "repacked copy 250 MiB" in facts["memory"]


def test_a_card_is_shown_without_what_hubs_put_before_it() -> None:
    shown = msgspec.convert(SHOWN, ModelDetails)
    assert card_text(shown) == "# Assistant\n\nAnswers *questions*."
    assert card_text(msgspec.structs.replace(shown, cards=[])) == "*The bundle has no model card.*"
    assert license_text(shown) == "Apache-2.0\n\n--- LICENSE ---\n\nApache License\nVersion 2.0"
    assert file_lines(shown) == [f"model.gguf  1.1 GiB\n  sha256:{'8d' * 32}"]


def test_what_fits_in_words() -> None:
    answer = msgspec.convert(FIT, FitAnswer)
    assert fit_cells(answer.rows[2]) == ("* Q4_K_M", "GGUF", "2.4 GiB", "3.0 GiB of 7.0 GiB", "yes", "5-7")
    assert fit_summary(answer).startswith("Q4_K_M chosen")
    unknown = msgspec.structs.replace(answer, rows=[msgspec.structs.replace(answer.rows[0], decode=None)])
    assert "`edgellm devices detect --measure` finds it out" in fit_summary(unknown)
    assert "--measure" not in fit_summary(answer)
    nothing = msgspec.structs.replace(answer, problem="nothing fits", hint="take --context 512")
    assert fit_summary(nothing) == "nothing fits: take --context 512"
    assert fit_order(model="a/b", device=None, context=512) == {"model": "a/b", "context": 512}


def test_what_lies_on_this_disk_is_told_from_what_a_hub_has(tiny_llm: Path, tmp_path: Path) -> None:
    assert find_local("acme/tiny-llm") is None
    assert find_local("acme/tiny-llm-GGUF:Q4_K_M") is None
    found = find_local(str(tiny_llm))
    assert found is not None
    assert {"config.json", "tokenizer.json"} <= {file.name for file in found.files}
    assert found.size_bytes == sum(file.stat().st_size for file in found.files)
    assert found.folder == "tiny-llm"
    wrong: list[tuple[str, type[EdgeLLMError]]] = [(str(tmp_path), UsageError), ("./nothing.gguf", NotFoundError)]
    for text, kind in wrong:
        with pytest.raises(kind):
            find_local(text)


def test_folders_of_modules_belong_to_a_checkpoint_and_others_do_not(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(tiny_bert, folder)
    for name in ("onnx", "2_Dense.old", "3_Dense"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text("{}")
        (folder / name / "model.safetensors").write_bytes(b"")
    (folder / "4_Pooling").symlink_to("/etc")
    found = find_local(str(folder))
    assert found is not None
    assert {name for name in found.names if "/" in name} == {"1_Pooling/config.json", "3_Dense/config.json"}
    assert found.names["1_Pooling/config.json"] == folder / "1_Pooling" / "config.json"
    assert {"config.json", "modules.json", "model.safetensors"} <= found.names.keys()


def test_a_file_of_a_checkpoint_is_refused_by_its_own_path_with_its_folder(tiny_llm: Path) -> None:
    weights = tiny_llm / "model.safetensors"
    with pytest.raises(UsageError, match="is not a GGUF file") as caught:
        find_local(str(weights))
    assert str(weights) in caught.value.message
    assert str(tiny_llm) in str(caught.value.hint)


def test_a_folder_may_be_called_what_no_bundle_can_be(tiny_llm: Path, tmp_path: Path) -> None:
    (tmp_path / "Büro [neu]").symlink_to(tiny_llm)
    (tmp_path / "(α) mein Modell").mkdir()
    (tmp_path / "(α) mein Modell" / "config.json").write_text("{}")
    names = [find_local(str(path)) for path in sorted(tmp_path.iterdir())]
    assert [found and found.folder for found in names] == ["mein-modell", "tiny-llm"]


def test_a_split_file_is_all_of_its_parts(tmp_path: Path) -> None:
    first, second = (tmp_path / f"m-0000{number}-of-00002.gguf" for number in (1, 2))
    first.write_bytes(b"GGUF")
    with pytest.raises(NotFoundError, match="m-00002-of-00002"):
        find_local(str(first))
    second.write_bytes(b"GGUF")
    for text in (str(first), str(tmp_path)):
        found = find_local(text)
        assert found is not None
        assert found.files == (first, second)


def test_the_terminal_decides_about_colours_unless_the_user_does() -> None:
    assert pick_theme("auto", {"TERM": "linux"}) == "ansi-dark"
    assert pick_theme("auto", {"TERM": "xterm-256color"}) == "edgellm-dark"
    assert pick_theme("light", {"TERM": "linux"}) == "edgellm-light"
    assert {theme.name for theme in THEMES} == {"edgellm-dark", "edgellm-light"}
