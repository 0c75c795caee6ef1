"""The templates of real models: which form of calls they speak of, and how they write the calls that were made.

What a template writes is what its model was trained to write: we read it, and our grammars allow it.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from oracle_tools import llama_source

from edgellm.server.generation.calls.pieces import CallDelta, CallStart
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.reading.harmony import HarmonyReader
from edgellm.server.generation.reading.reader import AnswerReader
from edgellm.server.generation.templates.abilities import probe
from edgellm.server.generation.templates.messages import adapt_messages
from edgellm.server.generation.templates.traits import TemplateTraits, read_traits
from edgellm.server.generation.tools import read_tools
from edgellm_runtimes.chat import render_chat

pytestmark = pytest.mark.oracle

FORMS = {
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "hermes",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": "hermes",
    "Qwen-Qwen2.5-7B-Instruct": "hermes",
    "Qwen-Qwen3-0.6B": "hermes",
    "Qwen-QwQ-32B": "hermes",
    "ibm-granite-granite-4.0": "hermes",
    "Qwen3-Coder": "qwen-tags",
    "Qwen3.5-4B": "qwen-tags",
    "meta-llama-Llama-3.1-8B-Instruct": "llama3",
    "meta-llama-Llama-3.2-3B-Instruct": "llama3",
    "meta-llama-Llama-3.3-70B-Instruct": "llama3",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral-args",
    "ibm-granite-granite-3.3-2B-Instruct": "granite",
    "LFM2-8B-A1B": "lfm2",
    "GLM-4.6": "glm",
    "GLM-4.7-Flash": "glm-tight",
    "deepseek-ai-DeepSeek-V3.1": "deepseek",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": "deepseek-fenced",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "deepseek-fenced",
    "openai-gpt-oss-120b": "harmony",
}
TELL_NO_TOOLS = tuple(name for name in FORMS if name.startswith("deepseek"))
LEAVE_CALLS_OUT = (
    "ibm-granite-granite-3.3-2B-Instruct",
    "LFM2-8B-A1B",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",  # unless the content is null
)
THINKING = {
    "Qwen-Qwen3-0.6B": "<think>",
    "Qwen-QwQ-32B": "<think>",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "<think>",
    "HuggingFaceTB-SmolLM3-3B": "<think>",
    "mistralai-Ministral-3-14B-Reasoning-2512": "[THINK]",
    "GLM-4.6": "<think>",
    "deepseek-ai-DeepSeek-V3.1": "<think>",
    "openai-gpt-oss-120b": "<|channel|>analysis<|message|>",
    "ByteDance-Seed-OSS": "<seed:think>",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": "<|START_THINKING|>",
}
ENDS = ("<｜end▁of▁sentence｜>", "<|call|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "</s>")
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "a city"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}
ARGUMENTS = {"city": "Köln", "days": 2}
USER = {"role": "user", "content": "Weather?"}
CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "abcdefghi", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS}}
    ],
}


def read_pieces(traits: TemplateTraits, parts: list[str]) -> list[Any]:
    """What our reader makes of an answer that comes in ``parts``."""
    assert traits.calls is not None
    if traits.calls.answers:
        reader: Any = HarmonyReader()
    else:
        reader = AnswerReader(traits.thinking, traits.calls, tools={tool.name: tool for tool in read_tools([TOOL])})
    return [piece for part in parts for piece in reader.push(part)] + reader.finish()


def template(name: str) -> str:
    return (llama_source() / "models" / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


def written_call(name: str) -> str:
    """What the template makes of a call of the assistant, without what ends its turn."""
    from transformers.utils.chat_template_utils import render_jinja_template

    options: dict[str, Any] = {
        "tools": [TOOL],
        "bos_token": "<s>",
        "eos_token": "</s>",
        "chat_template": template(name),
    }
    before = render_jinja_template([[USER]], add_generation_prompt=True, **options)[0][0]
    thinking = read_traits(template(name)).thinking
    if thinking is not None:
        before = re.sub(rf"{re.escape(thinking.opens)}\s*({re.escape(thinking.closes)}\s*)?$", "", before)
    after = render_jinja_template([[USER, CALLED]], add_generation_prompt=False, **options)[0][0]
    shared = next(
        (place for place, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), len(before)
    )
    text = str(after[shared:])
    for end in ENDS:
        text = text.partition(end)[0]
    return text


@pytest.mark.parametrize("name", FORMS)
def test_the_form_of_calls_is_recognised(name: str) -> None:
    form = read_traits(template(name)).calls
    assert form is not None
    assert form.name == FORMS[name]


@pytest.mark.parametrize("name", [name for name in FORMS if name not in LEAVE_CALLS_OUT])
def test_prompts_of_whole_conversations_equal_those_of_transformers(name: str) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    text = template(name)

    async def render(messages: Any, *, tools: Any = None) -> str:
        return render_chat(text, messages, tools=tools, bos_token="<s>", eos_token="</s>")

    result = {"role": "tool", "tool_call_id": "abcdefghi", "name": "get_weather", "content": "3 degrees"}
    system = {"role": "system", "content": "Be brief."}
    given = [] if name in TELL_NO_TOOLS else [TOOL]  # else we tell of them
    traits = read_traits(text)
    assert traits.calls is not None
    messages, tools = adapt_messages(
        [system, USER, CALLED, result],
        given,
        asyncio.run(probe(render, tells_tools=traits.calls.tell is not None)),
        traits.calls,
        short_call_ids=traits.short_call_ids,
        thought_key=traits.thought_key,
    )
    options: dict[str, Any] = {"add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"}
    conversation = [system, USER, CALLED, result]
    expected = render_jinja_template([conversation], tools=given or None, chat_template=text, **options)[0][0]
    assert render_chat(text, messages, tools=tools, bos_token="<s>", eos_token="</s>") == expected


@pytest.mark.parametrize("name", THINKING)
def test_the_markers_of_thoughts_are_recognised(name: str) -> None:
    thinking = read_traits(template(name)).thinking
    assert thinking is not None
    assert thinking.opens == THINKING[name]


@pytest.mark.parametrize("name", [name for name in FORMS if name not in LEAVE_CALLS_OUT])
def test_calls_as_the_template_writes_them_are_read(name: str) -> None:
    traits = read_traits(template(name))
    text = written_call(name)
    for length in (1, 5, len(text)):
        found = read_pieces(traits, [text[at : at + length] for at in range(0, len(text), length)])
        assert [piece.name for piece in found if isinstance(piece, CallStart)] == ["get_weather"]
        arguments = "".join(piece.arguments for piece in found if isinstance(piece, CallDelta))
        assert json.loads(arguments) == ARGUMENTS


@pytest.mark.parametrize("name", [name for name in FORMS if name not in LEAVE_CALLS_OUT])
def test_forced_calls_may_be_what_the_template_writes(name: str) -> None:
    llguidance = pytest.importorskip("llguidance")
    form = read_traits(template(name)).calls
    assert form is not None
    rules = LarkRules({})
    grammar = rules.text(rules.rule(form.write(rules, read_tools([TOOL]), True)))
    tokenizer = llguidance.LLTokenizer("byte")
    matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0)
    written = written_call(name)
    starts = (*form.opens, "{")[0] if form.opens[0] in written else "{"
    text = written if form.answers else written[written.index(starts) :].strip()
    tokens = tokenizer.tokenize_str(text)
    assert matcher.try_consume_tokens(tokens) == len(tokens), text
    assert matcher.is_accepting(), text
