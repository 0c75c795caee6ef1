"""What a checkpoint of a hub needs before it is fetched."""

from __future__ import annotations

import importlib.util

import pytest

from edgellm.errors import UnsupportedError
from edgellm.sources.hub.repository import HubFile
from edgellm.sources.snapshot import require_pack_extra


def files(*names: str) -> list[HubFile]:
    return [HubFile(name, 1, None, "0" * 40, f"https://hub.example/{name}") for name in names]


@pytest.mark.parametrize(
    ("names", "package"),
    [
        (("config.json", "tokenizer.json"), "tokenizers"),
        (("config.json", "tokenizer.model"), "sentencepiece"),
        (("config.json", "tokenizer.model", "tokenizer.json"), "tokenizers"),
    ],
)
def test_the_package_that_the_tokenizer_needs_is_asked_for_before_the_download(
    names: tuple[str, ...], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(UnsupportedError, match=f"the package {package}, which") as caught:
        require_pack_extra(files(*names))
    assert "pip install 'edgellm[pack]'" in (caught.value.hint or "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == package else None)
    require_pack_extra(files(*names))
