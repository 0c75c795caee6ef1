"""What there is to know of a loaded model before its chats can be prepared."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

from edgellm.errors import UsageError
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.hermes import HERMES
from edgellm.server.generation.templates.abilities import Abilities, find_switches, probe
from edgellm.server.generation.templates.traits import TemplateTraits, read_traits
from edgellm_runtimes.engine import Engine

__all__ = ["ChatProfile", "chat_profile"]


class ChatProfile(NamedTuple):
    """``switches`` are variables of the template that turn thinking on and off; ``control_tokens`` the markers that the
    model has a control token for, with its id."""

    traits: TemplateTraits
    abilities: Abilities
    calls: CallForm
    switches: tuple[str, ...]
    control_tokens: dict[str, int]


_profiles: WeakKeyDictionary[Engine, ChatProfile] = WeakKeyDictionary()


async def chat_profile(engine: Engine) -> ChatProfile:
    """The profile of the model, found once. Raises MissingAbilityError of an encoder, UsageError where a model has no
    chat template."""
    profile = _profiles.get(engine)
    if profile is None:
        engine.check_generates()
        template = engine.facts.chat_template
        if template is None:
            raise UsageError("this model has no chat template", hint="send a prompt that it continues as it is")
        traits = read_traits(template)
        tells_tools = traits.calls is not None and traits.calls.tell is not None
        abilities = await probe(engine.render, tells_tools=tells_tools)
        switches = await find_switches(engine.render) if traits.thinking is not None else ()
        form = traits.calls if traits.calls is not None and (abilities.tools or tells_tools) else HERMES
        markers = [*form.markers, *(traits.thinking or ())]
        tokens = await engine.in_thread(_control_tokens, engine, markers)
        profile = _profiles[engine] = ChatProfile(traits, abilities, form, switches, tokens)
    return profile


def _control_tokens(engine: Engine, markers: list[str]) -> dict[str, int]:
    """A marker is a control token where reading control tokens makes it one, and reading text does not."""
    found = {}
    for marker in dict.fromkeys(markers):
        tokens = engine.tokenize(marker, add_special=False)
        if len(tokens) == 1 and engine.tokenize(marker, add_special=False, parse_special=False) != tokens:
            found[marker] = tokens[0]
    return found
