"""Images beyond the limits, in every form that clients send them in."""

from __future__ import annotations

from typing import Any

import pytest

from edgellm.errors import TooLargeError
from edgellm.server.generation.limits import check_request
from edgellm.server.generation.request import ChatRequest
from edgellm.server.limits import Limits


def asked(*parts: dict[str, Any]) -> ChatRequest:
    return ChatRequest(messages=({"role": "user", "content": list(parts)},))


def openai(base64: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": base64}}


FORMS = [openai, lambda text: {"type": "input_image", "image_url": text}, lambda text: {"type": "image", "image": text}]


@pytest.mark.parametrize("form", FORMS)
def test_an_image_beyond_the_limit_is_refused(form: Any) -> None:
    limits = Limits(max_image_bytes=300)
    check_request(asked(form("a" * 400)), limits, 4096)
    with pytest.raises(TooLargeError, match=r"an image has 303 B; at most 300 B are possible"):
        check_request(asked(form("a" * 404)), limits, 4096)


@pytest.mark.parametrize("form", FORMS)
def test_more_images_than_the_limit_are_refused(form: Any) -> None:
    limits = Limits(max_images=2)
    check_request(asked(form("a"), form("b")), limits, 4096)
    with pytest.raises(TooLargeError, match="3 images; at most 2"):
        check_request(asked(form("a"), form("b"), form("c")), limits, 4096)
