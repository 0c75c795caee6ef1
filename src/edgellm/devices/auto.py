"""What `auto` picks: recipe, context, sequences, and whether weights are mapped and repacked.

The rules, in this order:

1. Quality floor: recipes down to 4 bits (Q4_0) come first; below it only when nothing else fits the memory.
2. Context: a recipe counts as fitting with 4096 tokens (or all that model and profile allow, when that is less). Only
   when no recipe of the floor fits so do 2048 tokens count, then recipes below the floor, then 1024 and 512 tokens.
3. Among those that fit, the recipes that the profile prefers, if any of them fits; avoided ones last.
4. The best quality whose decode speed, the middle of the predicted range, reaches the minimum. If none does, the
   fastest; among recipes within a tenth of it, the best quality.
   An encoder, which is small and generates nothing, gets the best quality of those that fit.
5. The rest of the memory goes to context, up to the profile's cap, and then, as long as half of it stays free, to four
   sequences.

Weights are mapped and repacked when both forms fit; else only the repacked form is kept; else they are only mapped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import msgspec

from edgellm.devices.choice import Choice, FitRequest, FitRow
from edgellm.devices.estimate import Estimate, estimate
from edgellm.devices.explain import explain_choice, explain_misfit
from edgellm.devices.model import ModelShape
from edgellm.devices.onnx_recipes import onnx_preferred
from edgellm.devices.policy import FLOAT_KV
from edgellm.devices.profile import Profile
from edgellm.devices.quality import FOUR_BIT_LOSS, best_first, is_sensible, quality_loss
from edgellm.devices.settings import RunSettings
from edgellm.errors import UsageError

__all__ = ["choose", "fit_table"]

_WANTED_CONTEXT = 4096
_LEAST_CONTEXTS = (2048, 1024, 512)
_SEQUENCES = 4
_NEAR_FASTEST = 0.9


def choose(candidates: Mapping[str, ModelShape], profile: Profile, request: FitRequest | None = None) -> Choice:
    """Pick from ``candidates`` (recipe -> shape) for ``profile``.

    Raises DoesNotFitError with what would fit, UsageError for a context beyond the model's or an unknown recipe.
    """
    request = request or FitRequest()
    _check(candidates, request)
    planner = _Planner(candidates, profile, request)
    found = planner.pick()
    if found is None:
        raise explain_misfit(candidates, profile, planner.smallest(), fixed_recipe=request.recipe is not None)
    found = planner.widen(found)
    table = tuple(
        msgspec.structs.replace(row, chosen=True) if row.recipe == found.recipe else row
        for row in planner.table(found.settings)
    )
    why = explain_choice(candidates[found.recipe], profile, found, request)
    return Choice(recipe=found.recipe, settings=found.settings, estimate=found.estimate, why=why, table=table)


def fit_table(
    candidates: Mapping[str, ModelShape], profile: Profile, request: FitRequest | None = None
) -> tuple[FitRow, ...]:
    """The rows for every sensible recipe, also when nothing fits; at the requested or the wanted context."""
    request = request or FitRequest()
    _check(candidates, request)
    planner = _Planner(candidates, profile, request)
    return tuple(planner.table(planner.settings(planner.contexts()[0])))


class _Planner:
    def __init__(self, candidates: Mapping[str, ModelShape], profile: Profile, request: FitRequest) -> None:
        self.candidates, self.profile, self.request = candidates, profile, request
        trained = max((shape.context_length for shape in candidates.values()), default=0)
        usual = max((shape.usual_context for shape in candidates.values()), default=0)
        self.limit = max(1, min(usual or trained or _WANTED_CONTEXT, profile.policy.context_cap))
        self.encoder = any(shape.is_encoder for shape in candidates.values())
        self.onnx = any(shape.format == "onnx" for shape in candidates.values())

    def pick(self) -> FitRow | None:
        """The recipe and the least context that counts as fitting."""
        floor = [recipe for recipe in self._recipes() if quality_loss(recipe) <= FOUR_BIT_LOSS]
        contexts = self.contexts()
        for contexts_tried, recipes in ((contexts[:2], floor), (contexts, self._recipes())):
            for context in contexts_tried:
                rows = [row for row in self._rows(recipes, self.settings(context)) if row.verdict != "does not fit"]
                if rows:
                    return self._best(rows)
        return None

    def widen(self, row: FitRow) -> FitRow:
        """The same recipe with as much context, then as many sequences, as memory allows without getting tight."""
        best = row
        if self.request.context is None and row.verdict == "fits":
            for context in _halvings(self.limit, row.settings.context):
                wider = self._row(row.recipe, msgspec.structs.replace(self._base(row.settings), context=context))
                if wider.verdict == "fits":
                    best = wider
                    break
        if self.request.sequences is None and not self.encoder:  # texts share its steps as they are
            more = self._row(row.recipe, msgspec.structs.replace(self._base(best.settings), sequences=_SEQUENCES))
            if 2 * more.memory_bytes <= more.estimate.memory_available_bytes:
                best = more
        return best

    def smallest(self) -> FitRow:
        """The row that takes the least memory, at the least context that may be asked for."""
        rows = self._rows(self._recipes(), self.settings(self.contexts()[-1]))
        return min(rows, key=lambda row: row.memory_bytes)

    def table(self, settings: RunSettings) -> Iterator[FitRow]:
        """All sensible recipes under ``settings``, the best quality first."""
        shown = [r for r, shape in self.candidates.items() if is_sensible(r, shape.n_parameters)]
        if self.request.recipe is not None and self.request.recipe not in shown:
            shown.append(self.request.recipe)
        return self._rows(best_first(shown), self._base(settings))

    def settings(self, context: int) -> RunSettings:
        """The profile's way to run, at ``context``."""
        policy = self.profile.policy
        if self.onnx:  # its attention keeps scores, and it always rearranges the weights
            kv_types = {policy.kv_type_k, policy.kv_type_v}  # keys and values have one type here
            kv_type = "int8" if kv_types.isdisjoint(FLOAT_KV) else "f32"
            return RunSettings(
                context=context,
                sequences=self.request.sequences or 1,
                ubatch=policy.ubatch,
                kv_type_k=kv_type,
                kv_type_v=kv_type,
                flash_attention=False,
                repack=False,
                own_cells=True,
            )
        return RunSettings(
            context=context,
            sequences=self.request.sequences or 1,
            ubatch=policy.ubatch,
            kv_type_k=policy.kv_type_k,
            kv_type_v=policy.kv_type_v,
            flash_attention=policy.flash_attention,
            mmap=policy.mmap,
            repack=policy.repack and not self._accelerated(),
            adapter_bytes=self.request.adapter_bytes,
        )

    def contexts(self) -> list[int]:
        """The contexts that count as fitting, the wanted one first."""
        if self.request.context is not None:
            return [self.request.context]
        wanted = min(_WANTED_CONTEXT, self.limit)
        return [wanted, *(context for context in _LEAST_CONTEXTS if context < wanted)]

    def _base(self, settings: RunSettings) -> RunSettings:
        """Mapped and repacked, as the profile wants it."""
        wanted = self.settings(settings.context)
        return msgspec.structs.replace(settings, mmap=wanted.mmap, repack=wanted.repack)

    def _accelerated(self) -> bool:
        """Only the CPU keeps rearranged weights."""
        accelerator = self.profile.accelerator
        return accelerator is not None and accelerator.kind in self.request.accelerators

    def _recipes(self) -> list[str]:
        if self.request.recipe is not None:
            return [self.request.recipe]
        quantized = [r for r in self.candidates if r not in ("F32", "F16", "BF16", "FP32")]
        return best_first(quantized or list(self.candidates))

    def _rows(self, recipes: list[str], settings: RunSettings) -> Iterator[FitRow]:
        return (self._row(recipe, settings) for recipe in recipes)

    def _row(self, recipe: str, settings: RunSettings) -> FitRow:
        shape = self.candidates[recipe]
        for way in _ways(settings):
            found = estimate(shape, self.profile, way, accelerators=self.request.accelerators)
            if found.verdict != "does not fit":
                break
        return FitRow(
            recipe=recipe,
            size_bytes=shape.size_bytes,
            settings=way,
            estimate=found,
            quality_loss=quality_loss(recipe),
            format=shape.format,
            note="; ".join([*self._policy_note(recipe), *_way_note(settings, way, found), *found.notes]),
        )

    def _policy_note(self, recipe: str) -> list[str]:
        return ["slow on this processor"] if recipe in self.profile.policy.avoided else []

    def _preferred(self) -> Collection[str]:
        """The recipes that the processor runs fast: what the profile names, if it names any of these."""
        policy = self.profile.policy
        if self.onnx and not any(recipe in self.candidates for recipe in policy.preferred):
            return onnx_preferred(self.candidates, self.profile.cpu.features)
        return policy.preferred

    def _best(self, rows: list[FitRow]) -> FitRow:
        rows = [row for row in rows if row.recipe not in self.profile.policy.avoided] or rows
        if self.encoder:  # small, and read once for each text: quality is what it is for
            return min(rows, key=lambda row: row.quality_loss)
        preferred = self._preferred()
        rows = [row for row in rows if row.recipe in preferred] or rows
        if any(row.decode is None for row in rows):  # no speed to choose by: the common compromise, or the next best
            usual = [row for row in rows if row.quality_loss >= quality_loss("Q4_K_M")] or rows
            return min(usual, key=lambda row: row.quality_loss)
        fast = [row for row in rows if _middle(row) >= self.request.min_speed]
        if not fast:
            fastest = max(map(_middle, rows))
            fast = [row for row in rows if _middle(row) >= _NEAR_FASTEST * fastest]
        return min(fast, key=lambda row: row.quality_loss)


def _check(candidates: Mapping[str, ModelShape], request: FitRequest) -> None:
    if not candidates:
        raise UsageError("there is no recipe to choose from")
    if request.recipe is not None and request.recipe not in candidates:
        known = ", ".join(best_first(candidates))
        raise UsageError(f"there is no recipe {request.recipe!r} for this model", hint=f"it has: {known}")
    for name, value in (("context", request.context), ("sequences", request.sequences)):
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}; it must be at least 1")
    if request.sequences is not None and request.sequences > 256:
        raise UsageError(f"sequences is {request.sequences}; llama.cpp serves at most 256")
    trained = max(shape.context_length for shape in candidates.values())
    if request.context is not None and trained and request.context > trained:
        raise UsageError(
            f"the context of {request.context} tokens is beyond the {trained} that the model was trained for",
            hint=f"--context {trained} or less",
        )


def _ways(settings: RunSettings) -> Iterator[RunSettings]:
    yield settings
    if settings.repack:
        if settings.mmap:
            yield msgspec.structs.replace(settings, mmap=False)
        yield msgspec.structs.replace(settings, repack=False)


def _way_note(wanted: RunSettings, way: RunSettings, found: Estimate) -> list[str]:
    if found.verdict == "does not fit" or way == wanted:
        return []
    return ["not repacked: slower prompts"] if not way.repack else ["repacked form only: loads more slowly"]


def _halvings(start: int, stop: int) -> Iterator[int]:
    value = start
    while value > stop:
        yield value
        value //= 2


def _middle(row: FitRow) -> float:
    return row.decode_per_user.middle if row.decode_per_user is not None else 0.0
