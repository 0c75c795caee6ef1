"""Sampling by its definitions, written out in float64: what the compiled kernels are held against.

A token whose place at the edge of a set is decided by less than ``slack`` may fall to either side: single precision
cannot tell. So a stage gives every result within that slack, and a distribution is right when it is one of them.
Nothing else is left open: equal logits go by the smaller token, and every probability must agree.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgellm_runtimes.sampling import ORDERS, SamplingParams

__all__ = [
    "Context",
    "Floats",
    "Row",
    "State",
    "TooCloseError",
    "dense",
    "edited",
    "error_of",
    "log_shares",
    "outcomes",
    "single",
]

Floats = npt.NDArray[np.float64]
Row = npt.NDArray[np.float32]
_MOST_TRIED = 256  # sets at the edge of one stage
_MOST_STATES = 600
_MOST_RESULTS = 9  # where there are more; what lies between them differs by a fraction of the slack


class TooCloseError(Exception):
    """So many tokens stand at the edges of several stages that hardly anything would be wrong."""


class Context(NamedTuple):
    """What a token depends on besides the logits and the parameters."""

    prompt: Sequence[int] = ()
    generated: Sequence[int] = ()
    breakers: Sequence[Sequence[int]] = ()
    allowed: npt.NDArray[np.bool_] | None = None
    xtc_uniform: float = 0.0
    mirostat_mu: float | None = None  # None: as at the start


class State(NamedTuple):
    """Candidates, the likeliest first, and the factor on their logits (1 / temperature)."""

    ids: npt.NDArray[np.int64]
    logits: Floats
    scale: float
    forbidden: (
        int  # tokens at -inf that no stage has taken away yet: dynamic temperature counts them, as llama.cpp does
    )

    def shares(self) -> Floats:
        weights = np.exp((self.logits - self.logits.max()) * self.scale)
        return np.asarray(weights / weights.sum())

    def surprises(self) -> Floats:
        """-ln of the probabilities."""
        weighted = (self.logits - self.logits.max()) * self.scale
        return np.asarray(np.log(np.exp(weighted).sum()) - weighted)

    def kept(self, keep: Any) -> State:
        return State(self.ids[keep], self.logits[keep], self.scale, 0)


def single(value: float) -> float:
    """What a float32 parameter is in float64."""
    return float(np.float32(value))


def log_shares(logits: Floats) -> Floats:
    """Natural logarithms of the softmax. Where logits are +inf, these share the probability."""
    if np.isposinf(logits).any():
        logits = np.where(np.isposinf(logits), 0.0, -np.inf)
    return np.asarray(logits - logits.max() - np.log(np.exp(logits - logits.max()).sum()))


def outcomes(row: Row, params: SamplingParams, context: Context | None = None, slack: float = 2e-6) -> list[State]:
    """Every distribution that the chain of ``params`` may leave of ``row``."""
    context = Context() if context is None else context
    start = _opened(edited(row, params, context))
    if single(params.temperature) == 0:
        return [start.kept(slice(1))]
    states = [start]
    if params.mirostat:
        mu = 2.0 * single(params.mirostat_tau) if context.mirostat_mu is None else context.mirostat_mu
        states = _temperature(start, params)
        return [result for state in states for result in _mirostat(state, mu, slack)]
    for stage in ORDERS[params.order]:
        states = [result for state in states for result in _STAGES[stage](state, params, context, slack)]
        if len(states) > _MOST_STATES:
            raise TooCloseError
    return states


def dense(ids: Any, shares: Any, n_vocab: int) -> Floats:
    """Probabilities of all tokens."""
    values = np.zeros(n_vocab)
    values[ids] = shares
    return values


def error_of(found: Floats, states: list[State]) -> float:
    """The largest difference of a probability from the nearest of the right distributions."""
    return min(float(np.abs(found - dense(state.ids, state.shares(), len(found))).max()) for state in states)


def _opened(row: Row) -> State:
    order = np.lexsort((np.arange(len(row)), -row))
    order = order[row[order] > -np.inf]
    logits = row.astype(np.float64)[order]
    if len(logits) and logits[0] == np.inf:
        order = order[logits == np.inf]
        return State(order, np.zeros(len(order)), 1.0, 0)
    return State(order, logits, 1.0, len(row) - len(order))


# Logit bias, penalties, DRY. A logit is a float32, so each of them rounds to one.


def edited(row: Row, params: SamplingParams, context: Context) -> Row:
    """``row`` after the mask, the biases, the penalties and DRY."""
    row = row.copy()
    if context.allowed is not None:
        row[~context.allowed] = -np.inf
    for token, bias in params.logit_bias.items():
        if token < len(row):
            row[token] = -np.inf if bias == -np.inf else row[token] + np.float32(bias)
    history = [*context.prompt, *context.generated]
    _penalize(row, params, history if params.penalize_prompt else list(context.generated))
    _stop_repetitions(row, params, history, context.breakers)
    return row


def _latest(tokens: list[int], window: int) -> list[int]:
    return tokens if window < 0 else tokens[max(0, len(tokens) - window) :]


def _penalize(row: Row, params: SamplingParams, history: list[int]) -> None:
    recent = _latest(history, params.repetition_window)
    repetition, frequency, presence = (
        np.float32(value) for value in (params.repetition_penalty, params.frequency_penalty, params.presence_penalty)
    )
    for token in set(recent):
        if 0 <= token < len(row):
            row[token] = row[token] * repetition if row[token] <= 0 else row[token] / repetition
            row[token] -= np.float32(recent.count(token)) * frequency + presence


def _stop_repetitions(row: Row, params: SamplingParams, history: list[int], breakers: Sequence[Sequence[int]]) -> None:
    recent = _latest(history, params.dry_window)
    if not single(params.dry_multiplier) or len(recent) <= params.dry_allowed_length:
        return
    limit = _since_breaker(recent, breakers)
    longest: dict[int, int] = {}
    for place in range(1, len(recent)):  # would recent[place] continue a repetition of what stands before it?
        length = 0
        while length < min(place, limit) and recent[place - 1 - length] == recent[-1 - length]:
            length += 1
        if length >= params.dry_allowed_length:
            longest[recent[place]] = max(length, longest.get(recent[place], 0))
    base = single(params.dry_base)
    most = int(88.7228391 / np.log(base)) if base > 1.000001 else 2**31  # the penalty stays a float32
    for token, length in longest.items():
        if 0 <= token < len(row) and [token] not in [list(breaker) for breaker in breakers]:
            penalty = single(params.dry_multiplier) * base ** min(length - params.dry_allowed_length, most)
            row[token] = np.float32(np.float64(row[token]) - penalty)


def _since_breaker(recent: list[int], breakers: Sequence[Sequence[int]]) -> int:
    """How many of the latest tokens stand behind the last breaker."""
    for start in range(len(recent) - 1, -1, -1):
        ends = [start + len(b) for b in breakers if list(b) == recent[start : start + len(b)]]
        if ends:
            return len(recent) - max(ends)
    return len(recent)


# The stages. Each gives every state that it may leave.


def _likeliest(state: State, fewest: int, most: int) -> list[State]:
    """The states of ``fewest`` to ``most`` tokens; one is always left. Equal logits stay or go together."""
    ends = [1] if fewest == 0 else []
    for n in range(max(1, fewest), most + 1):
        if n == len(state.ids) or state.logits[n] != state.logits[n - 1]:
            ends.append(n)
    return [state.kept(slice(count)) for count in ends]


def _from_logit(state: State, least: float, margin: float) -> list[State]:
    """The states of the tokens at ``least``, give or take ``margin``, or above."""
    return _likeliest(state, *(int((state.logits >= least + side).sum()) for side in (margin, -margin)))


def _until_mass(state: State, keys: Floats, p: float, passes: bool, slack: float) -> list[State]:
    """The states of the tokens with the smallest keys whose probabilities reach ``p`` (or pass it)."""
    shares = state.shares()
    order = np.lexsort((state.ids, keys))
    mass = np.cumsum(shares[order])
    first, last = _first(mass >= p - slack), _first(mass > p + slack if passes else mass >= p + slack)
    low, high = keys[order[first]], keys[order[last]]
    margin = slack * max(1.0, abs(high))
    sure = order[keys[order] < low - margin]
    undecided = order[(keys[order] >= low - margin) & (keys[order] <= high + margin)]
    groups = [undecided[state.logits[undecided] == logit] for logit in np.unique(state.logits[undecided])]
    if np.prod([len(group) + 1.0 for group in groups]) > _MOST_TRIED:  # then each of them is next to nothing
        counts = np.unique(np.linspace(first, last, _MOST_RESULTS).astype(int)) + 1
        return [state.kept(np.sort(order[:count])) for count in counts]
    results = []
    for taken in itertools.product(*(range(len(group) + 1) for group in groups)):
        parts = [group[:count] for group, count in zip(groups, taken, strict=True)]
        kept = np.concatenate([sure, *parts])
        mass_kept = float(shares[kept].sum())
        ends = [float(shares[part[-1]]) for part in parts if len(part)]  # one of these was the last to be taken
        if ends and (mass_kept >= p - slack or len(kept) == len(keys)) and mass_kept - max(ends) <= p + slack:
            results.append(state.kept(np.sort(kept)))
    return results


def _first(flags: npt.NDArray[np.bool_]) -> int:
    return int(flags.argmax()) if flags.any() else len(flags) - 1


def _temperature(state: State, params: SamplingParams, *_rest: Any) -> list[State]:
    temperature = single(params.temperature)
    around = single(params.dynamic_temperature_range)
    count = len(state.ids) + state.forbidden
    if around > 0 and count > 1:
        shares = state.shares()
        entropy = max(0.0, float((shares * state.surprises()).sum()))
        low, high = max(0.0, temperature - around), temperature + around
        temperature = low + (high - low) * (entropy / np.log(count)) ** single(params.dynamic_temperature_exponent)
    if temperature < 1e-6:
        return [state.kept(slice(1))]
    return [state._replace(scale=state.scale / temperature)]


def _top_k(state: State, params: SamplingParams, *_rest: Any) -> list[State]:
    k = params.top_k
    if k == 0 or k >= len(state.ids) + state.forbidden:
        return [state]
    if params.order != "llama.cpp":
        while 0 < k < len(state.ids) and state.logits[k] == state.logits[k - 1]:
            k += 1
    return [state.kept(slice(k))]


def _top_p(state: State, params: SamplingParams, _context: Context, slack: float) -> list[State]:
    if single(params.top_p) >= 1:
        return [state]
    keys = (state.logits[0] - state.logits) * state.scale
    return _until_mass(state, keys, single(params.top_p), False, slack)


def _min_p(state: State, params: SamplingParams, _context: Context, slack: float) -> list[State]:
    if single(params.min_p) <= 0:
        return [state]
    least = float(state.logits[0]) + float(np.log(single(params.min_p))) / state.scale
    return _from_logit(state, least, slack * max(1.0, abs(least)))


def _top_n_sigma(state: State, params: SamplingParams, _context: Context, slack: float) -> list[State]:
    if single(params.top_n_sigma) <= 0:
        return [state]
    spread = single(params.top_n_sigma) * float(state.logits.std())
    least = float(state.logits[0]) - spread
    return _from_logit(state, least, slack * max(1.0, abs(least), spread))


def _typical_p(state: State, params: SamplingParams, _context: Context, slack: float) -> list[State]:
    if single(params.typical_p) >= 1:
        return [state]
    surprises = state.surprises()
    away = np.abs(surprises - float((state.shares() * surprises).sum()))
    return _until_mass(state, away, single(params.typical_p), params.order != "transformers", slack)


def _xtc(state: State, params: SamplingParams, context: Context, slack: float) -> list[State]:
    threshold = single(params.xtc_threshold)
    if single(params.xtc_probability) <= 0 or threshold > 0.5 or context.xtc_uniform > single(params.xtc_probability):
        return [state]
    shares = state.shares()
    above = {int((shares >= threshold * factor).sum()) for factor in (1 - 5 * slack, 1 + 5 * slack)}
    results = []
    for count in above:
        left = state.kept(slice(max(0, count - 1), None))
        results.append(left._replace(forbidden=state.forbidden))
    return results


def _mirostat(state: State, mu: float, slack: float) -> list[State]:
    surprises = state.surprises() / np.log(2.0)
    margin = slack * max(1.0, abs(mu))
    return _likeliest(state, *(int((surprises <= mu + side).sum()) for side in (-margin, margin)))


_STAGES: dict[str, Callable[..., list[State]]] = {
    "temperature": _temperature,
    "top_k": _top_k,
    "top_p": _top_p,
    "min_p": _min_p,
    "typical_p": _typical_p,
    "top_n_sigma": _top_n_sigma,
    "xtc": _xtc,
}
