"""What one request may have of messages, tools, images and grammar, whichever dialect it came in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgellm.errors import PromptTooLongError, TooLargeError
from edgellm.server.generation.request import ChatRequest, CompletionRequest
from edgellm.server.limits import Limits
from edgellm.units import format_bytes

__all__ = ["check_request"]

_CHARACTERS_PER_TOKEN = 64  # on average over all messages; real text has 1 to 6


def check_request(request: ChatRequest | CompletionRequest, limits: Limits, context: int) -> None:
    """Raise TooLargeError for the first thing that is beyond ``limits``; PromptTooLongError for messages that no
    ``context`` of so many tokens could hold: no template is to work on them."""
    grammar = request.options.grammar
    if grammar is not None:
        _check_bytes(
            f"the {grammar.kind}", len(grammar.text.encode("utf-8", "surrogatepass")), limits.max_grammar_bytes
        )
    if isinstance(request, CompletionRequest):
        return
    _check_count("messages", len(request.messages), limits.max_messages)
    _check_count("tools", len(request.tools), limits.max_tools)
    images = list(_images(request.messages))
    _check_count("images", len(images), limits.max_images)
    for size_bytes in images:
        _check_bytes("an image", size_bytes, limits.max_image_bytes)
    characters = sum(_characters(message.get("content")) for message in request.messages)
    if characters > context * _CHARACTERS_PER_TOKEN:
        raise PromptTooLongError(
            f"the messages have {characters} characters; a context of {context} tokens cannot hold them",
            hint="shorten them or begin a new conversation",
        )


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise TooLargeError(f"the request has {count} {what}; at most {most} are possible")


def _check_bytes(what: str, size_bytes: int, most_bytes: int) -> None:
    if size_bytes > most_bytes:
        raise TooLargeError(f"{what} has {format_bytes(size_bytes)}; at most {format_bytes(most_bytes)} are possible")


def _characters(content: object) -> int:
    if isinstance(content, str):
        return len(content)
    parts = content if isinstance(content, (list, tuple)) else ()
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return sum(len(text) for text in texts if isinstance(text, str))


def _images(messages: tuple[Mapping[str, Any], ...]) -> Iterator[int]:
    """The size in bytes of each image, which is base64 in a URL or as it is."""
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, (list, tuple)) else ():
            image = _image(part) if isinstance(part, Mapping) else None
            if image is not None:
                yield len(image) * 3 // 4


def _image(part: Mapping[str, Any]) -> str | None:
    for name in ("image_url", "image"):
        value = part.get(name)
        value = value.get("url") if isinstance(value, Mapping) else value
        if isinstance(value, str):
            return value
    return None
