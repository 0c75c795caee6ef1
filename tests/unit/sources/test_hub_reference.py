from __future__ import annotations

import pytest

from edgellm.errors import UsageError
from edgellm.sources.hub.reference import HubReference, is_hub_reference, parse_hub_reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("own/mod", HubReference("own/mod")),
        ("own/mod:Q4_K_M", HubReference("own/mod", "Q4_K_M")),
        ("own/mod-1.5_B.x:a/b-00001-of-00002.gguf", HubReference("own/mod-1.5_B.x", "a/b-00001-of-00002.gguf")),
        ("own/mod@v1.0", HubReference("own/mod", None, "v1.0")),
        ("own/mod:Q8_0@refs/pr/3", HubReference("own/mod", "Q8_0", "refs/pr/3")),
        ("hf.co/own/mod:Q8_0", HubReference("own/mod", "Q8_0")),
        ("huggingface.co/own/mod", HubReference("own/mod")),
        ("hf://own/mod@v2", HubReference("own/mod", None, "v2")),
        ("https://huggingface.co/own/mod", HubReference("own/mod")),
        ("https://huggingface.co/own/mod/", HubReference("own/mod")),
        ("https://huggingface.co/own/mod/tree/v2", HubReference("own/mod", None, "v2")),
        ("https://huggingface.co/own/mod/blob/main/a/b%20c.gguf", HubReference("own/mod", "a/b c.gguf")),
        ("https://huggingface.co/own/mod/resolve/v2/b.gguf?download=true", HubReference("own/mod", "b.gguf", "v2")),
    ],
)
def test_each_way_of_writing_a_repository_is_read(text: str, expected: HubReference) -> None:
    assert parse_hub_reference(text) == expected
    assert parse_hub_reference(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mod",
        "a/b/c",
        "own/..",
        "../own",
        "/own/mod",
        "own/mod:",
        "own/mod@",
        "own/mod:../../etc/passwd",
        "own/mod:/etc/passwd",
        "own/mod@../x",
        "own/mo--d",
        "own/mod\n",
        "own/mod\x1b[31m",
        "own/mod:Q4?x=1",
        "https://example.com/own/mod",
        "https://huggingface.co/own",
        "https://[::1/own/mod",
        "x" * 2000,
        "own/" + "m" * 200,
    ],
)
def test_what_is_no_repository_is_refused(text: str) -> None:
    if text.endswith("\n"):
        assert parse_hub_reference(text) == HubReference("own/mod")  # a line as it was pasted
        return
    assert not is_hub_reference(text)
    with pytest.raises(UsageError) as caught:
        parse_hub_reference(text)
    assert caught.value.hint
    assert str(caught.value).isprintable()
