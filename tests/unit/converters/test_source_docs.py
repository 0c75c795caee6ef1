from pathlib import Path

import pytest

from edgellm.errors import CheckpointError
from edgellm_converters.model_card import front_matter
from edgellm_converters.source_docs import find_documents, license_ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("license: apache-2.0", ("Apache-2.0",)),
        ('license: "apache-2.0"  # as the hub writes it', ("Apache-2.0",)),
        ("license:\n- mit\n- apache-2.0", ("MIT", "Apache-2.0")),
        ("license: llama3.2", ("LicenseRef-llama3.2",)),
        ("license: other\nlicense_name: Qwen research!", ("LicenseRef-Qwen-research",)),
        ("license: other", ("LicenseRef-other",)),
        ("language: en", ()),
        ("license: unknown", ()),
    ],
)
def test_the_licence_is_read_from_the_model_card(tmp_path: Path, text: str, ids: tuple[str, ...]) -> None:
    card = tmp_path / "README.md"
    card.write_text(f"---\n{text}\n---\n# Model\n")
    assert license_ids(front_matter(card)) == ids


def test_a_card_without_front_matter_says_nothing(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("# Model\nlicense: mit\n")
    assert front_matter(card) == {}


@pytest.mark.parametrize("text", ["---\nlicense: mit\n", "---\na: &x [1]\nb: *x\n---\n", "---\n{[\n---\n"])
def test_a_card_that_does_not_end_or_grows_is_refused(tmp_path: Path, text: str) -> None:
    card = tmp_path / "README.md"
    card.write_text(text)
    with pytest.raises(CheckpointError, match=r"README\.md"):
        front_matter(card)


def test_only_papers_are_taken(tmp_path: Path) -> None:
    for name in ("LICENSE", "LICENSE.txt", "NOTICE", "USE_POLICY.md", "README.md", "notes.md"):
        (tmp_path / name).write_text("x")
    (tmp_path / "COPYING").write_text("")
    (tmp_path / "README").mkdir()
    assert [doc.name for doc in find_documents(tmp_path)] == [
        "LICENSE",
        "LICENSE.txt",
        "NOTICE",
        "README.md",
        "USE_POLICY.md",
    ]
