"""Bundles that came from a hub, found again without it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from bundle_parts import make_plan
from edgellm.bundle.plan import ModelSource
from edgellm.cli.pull_command import _is_wanted
from edgellm.sources.hub.reference import parse_hub_reference
from edgellm.sources.stored import find_stored

SOURCE = ModelSource("gguf", "Acme/Small", "llama", {"m.gguf": "sha256:" + "4" * 64}, "abc", "https://hub/Acme/Small")


@pytest.mark.parametrize("said", ["UD-Q4_K_XL", "ud-q4_k_xl", "Q4_K_XL", "q4_k_xl"])
def test_a_publishers_recipe_is_found_however_it_is_said(said: str) -> None:
    plan = msgspec.structs.replace(make_plan(recipe="UD-Q4_K_XL"), source=SOURCE)
    row = SimpleNamespace(plan=plan, problem=None)
    store = cast(Any, SimpleNamespace(list=lambda: [row]))
    request = cast(Any, SimpleNamespace(recipe=said, format="gguf"))
    for reference in (f"acme/small:{said}", "acme/small"):
        found = find_stored(
            store, parse_hub_reference(reference), plan.target.id, accept=lambda plan: _is_wanted(plan, request)
        )
        assert found is cast(Any, row)
    other = cast(Any, SimpleNamespace(recipe="Q4_K_M", format="gguf"))
    assert not _is_wanted(plan, other)
