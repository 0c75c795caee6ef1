"""What llama-server tells about itself: properties and slots."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import BusyError, EdgeLLMError
from edgellm.server.dialects.llamacpp.requests import CompletionBody
from edgellm.server.dialects.llamacpp.settings import SlotSettings, slot_settings
from edgellm.server.dialects.llamacpp.slots import Slot, slots_of
from edgellm.server.dialects.llamacpp.which import MODEL_QUERY, QUERY_ERRORS, model_name
from edgellm.server.generation.profile import chat_profile
from edgellm.server.http.operation import Query, operation
from edgellm.server.http.responses import JSONResponse
from edgellm.server.models.loaded import LoadedModel
from edgellm.server.state import state_of
from edgellm.version import __version__

__all__ = ["Props", "props", "slots"]

_MARKER = "<__media__>"
_NO_SLOT = Query("fail_on_no_slot", "answer 503 where every slot is in use")


class DefaultSettings(msgspec.Struct, frozen=True):
    """What holds for a request that says nothing."""

    params: SlotSettings
    n_ctx: int


class Modalities(msgspec.Struct, frozen=True):
    """What the model reads beside text."""

    vision: bool = False
    video: bool = False
    audio: bool = False


class TemplateAbilities(msgspec.Struct, frozen=True):
    """What the chat template knows; we make up for the rest."""

    supports_string_content: bool = True
    supports_typed_content: bool = False
    supports_tools: bool = False
    supports_tool_calls: bool = False
    supports_parallel_tool_calls: bool = False
    supports_system_role: bool = False
    supports_preserve_reasoning: bool = False
    supports_reasoning_effort: bool = False
    supports_object_arguments: bool = False


class Props(msgspec.Struct, frozen=True, kw_only=True):
    """GET /props. ``model_path`` is the name in the store: where files lie is nobody's business."""

    default_generation_settings: DefaultSettings
    total_slots: int
    model_alias: str
    model_ftype: str
    model_path: str
    chat_template: str
    chat_template_caps: TemplateAbilities
    bos_token: str
    eos_token: str
    build_info: str
    modalities: Modalities = Modalities()
    media_marker: str = _MARKER
    endpoint_slots: bool = True
    endpoint_props: bool = False  # they cannot be changed over HTTP
    endpoint_metrics: bool = True
    ui: bool = True
    ui_settings: dict[str, str] = {}
    is_sleeping: bool = False
    cors_proxy_enabled: bool = False


@operation(answer=Props, query=(MODEL_QUERY,), errors=QUERY_ERRORS)
async def props(request: Request) -> Response:
    """The properties of a model, which is loaded for it."""
    async with state_of(request).models.use(await model_name(request, None)) as model:
        return JSONResponse(await _props(model))


async def _props(model: LoadedModel) -> Props:
    engine = model.engine
    facts, info = engine.facts, engine.info
    return Props(
        default_generation_settings=DefaultSettings(
            slot_settings(CompletionBody(prompt=""), engine.params()), info.context
        ),
        total_slots=info.sequences,
        model_alias=model.name,
        model_ftype=model.bundle.plan.recipe,
        model_path=model.name,
        chat_template=facts.chat_template or "",
        chat_template_caps=await _abilities(model),
        bos_token=facts.bos_text,
        eos_token=facts.eos_text,
        build_info=f"edgellm-{__version__}",
    )


async def _abilities(model: LoadedModel) -> TemplateAbilities:
    if model.engine.facts.chat_template is None:
        return TemplateAbilities()
    try:
        profile = await chat_profile(model.engine)
    except EdgeLLMError:  # a template that fails has no abilities; whoever uses it learns why
        return TemplateAbilities()
    known, traits = profile.abilities, profile.traits
    return TemplateAbilities(
        supports_string_content=known.texts,
        supports_typed_content=known.parts,
        supports_tools=known.tools,
        supports_tool_calls=known.calls,
        supports_parallel_tool_calls=known.calls,
        supports_system_role=known.system,
        supports_reasoning_effort=bool(traits.efforts),
        supports_object_arguments=known.calls and not known.text_arguments,
    )


@operation(answer=list[Slot], query=(MODEL_QUERY, _NO_SLOT), errors=QUERY_ERRORS)
async def slots(request: Request) -> Response:
    """The slots of a model, with the caller's own requests."""
    all_slots, caller = slots_of(request)
    async with state_of(request).models.use(await model_name(request, None)) as model:
        if request.query_params.get("fail_on_no_slot"):
            running = (await model.engine.statistics()).running
            if running >= model.engine.info.sequences:
                raise BusyError("no slot available")
        return JSONResponse(all_slots.show(caller, model))
