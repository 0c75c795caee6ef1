"""What a bundle adds to requests."""

from __future__ import annotations

import msgspec

from bundle_parts import make_plan
from edgellm.bundle.chat_defaults import default_stop
from edgellm.bundle.plan import ChatDefaults, PlannedMessage
from edgellm.bundle.system_prompt import make_system_prompt
from edgellm.server.generation.request import ChatRequest, with_bundle_defaults

USER = {"role": "user", "content": "Hello"}
OWN = {"role": "system", "content": "Own."}
PLAN = msgspec.structs.replace(
    make_plan(),
    system_prompt=make_system_prompt("Baked.", (1, 2)),
    chat=ChatDefaults(messages=(PlannedMessage("user", "Hi"), PlannedMessage("assistant", "Ho")), stop=("END",)),
)


def contents(*messages: dict[str, str]) -> list[str]:
    return [message["content"] for message in with_bundle_defaults(PLAN, ChatRequest(messages=messages)).messages]


def test_the_bundles_messages_come_first() -> None:
    assert contents(USER) == ["Baked.", "Hi", "Ho", "Hello"]


def test_a_system_message_of_the_request_replaces_the_bundles() -> None:
    assert contents(OWN, USER) == ["Own.", "Hi", "Ho", "Hello"]


def test_a_plain_bundle_adds_nothing() -> None:
    request = ChatRequest(messages=(USER,))
    assert with_bundle_defaults(make_plan(), request) is request
    assert default_stop(make_plan()) == ()
    assert default_stop(PLAN) == ("END",)
