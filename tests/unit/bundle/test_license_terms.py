"""Plain licences are not worth a word; everything else is said, and what excludes commercial use as such."""

import pytest

from edgellm.bundle.terms import license_note
from edgellm_converters.source_docs import license_ids


@pytest.mark.parametrize(
    "licenses",
    [
        ["Apache-2.0"],
        ["MIT", "CC-BY-SA-4.0"],
        ["GPL-3.0-or-later"],
        ["apache-2.0"],
        ["Apache-2.0 WITH LLVM-exception"],
        ["MIT AND (BSD-3-Clause OR GPL-2.0+)"],
        ["CC-BY-NC-4.0 OR MIT"],
    ],
)
def test_plain_licences_need_no_note(licenses: list[str]) -> None:
    assert license_note(licenses) is None


@pytest.mark.parametrize("licenses", [[], [""], [" ", ""]])
def test_nothing_stated_is_said(licenses: list[str]) -> None:
    assert "not stated" in (license_note(licenses) or "")


@pytest.mark.parametrize(
    "name",
    [
        "cc-by-nc-4.0",
        "cc-by-nc-sa-4.0",
        "CC-BY-NC-ND-3.0",
        "mrl",
        "mnpl",
        "qwen-research",
        "nvidia-internal-scientific-research-and-development-model-license",
        "nvidia-noncommercial-license",
        "stabilityai-nc-research-community",
        "fair-noncommercial-research-license",
        "apple-amlr",
        "exaone",
    ],
)
def test_what_excludes_commercial_use_is_said_as_such(name: str) -> None:
    [identifier] = license_ids({"license": "other", "license_name": name})
    note = license_note([identifier]) or ""
    assert identifier in note
    assert "commercial" in note


@pytest.mark.parametrize(
    "name",
    ["gemma", "llama3.2", "llama2", "stabilityai-community", "bigscience-openrail-m", "deepseek", "CC-BY-ND-4.0"],
)
def test_use_terms_point_to_the_text(name: str) -> None:
    [identifier] = license_ids({"license": name})
    note = license_note(["Apache-2.0", identifier]) or ""
    assert note.startswith(f"the licence {identifier} has terms of its own")
    assert "edgellm show --license" in note


@pytest.mark.parametrize("identifier", ["LicenseRef-other", "LicenseRef-unknown", "NOASSERTION"])
def test_a_licence_without_a_name_is_said(identifier: str) -> None:
    assert "none of the common ones" in (license_note([identifier]) or "")


def test_a_hostile_list_stays_one_short_sentence() -> None:
    note = license_note([f"LicenseRef-{'x' * 5000}{number}" for number in range(1000)]) or ""
    assert len(note) < 500
    assert license_note(["(" * 5000]) is not None


@pytest.mark.parametrize("word", ["finance", "fairly-free", "research"])
def test_words_are_matched_whole(word: str) -> None:
    said = "commercial" in (license_note([f"LicenseRef-{word}"]) or "")
    assert said == (word == "research")
