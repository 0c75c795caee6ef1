"""The grammar that an answer has to follow: tools are called that must be, formats kept that were asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence

from edgellm.errors import UsageError
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.profile import ChatProfile
from edgellm.server.generation.request import ChatRequest, NamedTool
from edgellm.server.generation.tools import Tool
from edgellm_runtimes.grammar import Grammar

__all__ = ["answer_grammar", "tools_in_play"]


def tools_in_play(request: ChatRequest, tools: Sequence[Tool]) -> list[Tool]:
    """The tools that this answer may call. Raises UsageError where one must be called that is not there."""
    choice = request.tool_choice
    if choice == "none":
        return []
    if isinstance(choice, NamedTool):
        chosen = [tool for tool in tools if tool.name == choice.name]
        if not chosen:
            raise UsageError(f"the tool that must be called, {choice.name!r}, is not among the tools")
        return chosen
    if choice == "required" and not tools:
        raise UsageError("a tool must be called, but there are no tools")
    return list(tools)


def answer_grammar(
    profile: ChatProfile,
    request: ChatRequest,
    wanted: Grammar | None,
    tools: Sequence[Tool],
    *,
    may_think: bool,
    in_thinking: bool,
) -> Grammar | None:
    """What the answer to ``request`` has to follow, None for nothing; ``wanted`` holds where no tool is called.

    A thought may come first where ``may_think``, and must where the prompt has begun one (``in_thinking``). Raises
    UsageError for a grammar that cannot be had together with tools.
    """
    must_call = bool(tools) and request.tool_choice != "auto"
    form = profile.calls
    if not must_call and (wanted is None or not (tools or may_think or in_thinking or form.answers)):
        return wanted
    if wanted is not None and wanted.kind != "json_schema" and not must_call:
        if tools:
            raise UsageError(
                f"a {wanted.kind} cannot be had together with tools", hint="ask for a JSON schema, or for no tools"
            )
        return wanted
    rules = LarkRules(profile.control_tokens)
    bodies = []
    if tools:
        bodies.append(rules.rule(form.write(rules, tools, request.parallel_tool_calls)))
    if wanted is not None and not must_call:
        value = rules.json_value(json.loads(wanted.text))
        bodies.append(f"{rules.literal(form.answers)} {value}" if form.answers else value)
    body = rules.choice(bodies)
    markers = profile.traits.thinking
    if markers is not None and in_thinking:
        body = f"{rules.until('', markers.closes)} {rules.space()} {body}"
    elif markers is not None and may_think:
        body = f"{rules.until(markers.opens, markers.closes)} {rules.space()} {body} | {body}"
    return Grammar("lark", rules.text(body))
