"""Which sequence holds the computed state of which token prefix: a radix tree over token ids.

Every leaf has a holder, a sequence of the backend whose cache begins with the tokens from the root to the leaf. What an
inner node stands for is held by every holder below it.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

__all__ = ["Eviction", "Match", "PrefixTree", "common_length"]


class Match(NamedTuple):
    """A holder that begins with the first ``length`` tokens of what was looked for."""

    holder: int
    length: int


class Eviction(NamedTuple):
    """``holder`` has to hold its first ``length`` tokens only; 0 means that it is free."""

    holder: int
    length: int


class _Node:
    __slots__ = ("children", "depth", "holder", "is_pinned", "last_used", "parent", "tokens")

    def __init__(self, tokens: list[int], parent: _Node | None, holder: int | None, last_used: int) -> None:
        self.tokens = tokens  # from the parent's end to here
        self.parent = parent
        self.children: dict[int, _Node] = {}
        self.depth: int = (parent.depth if parent is not None else 0) + len(tokens)
        self.holder = holder
        self.last_used = last_used
        self.is_pinned = False


class PrefixTree:
    """Prefixes under keys: nothing is shared between two keys."""

    def __init__(self) -> None:
        self._roots: dict[Hashable, _Node] = {}
        self._clock = itertools.count()
        self.n_tokens = 0  # of all prefixes, what two of them share counted once

    def __len__(self) -> int:
        """Number of holders."""
        return sum(1 for _ in self._leaves())

    def match(self, key: Hashable, tokens: Sequence[int], *, touch: bool = True) -> Match | None:
        """The longest prefix of ``tokens`` that is held; None when not one token is."""
        node = self._roots.get(key)
        length = 0
        while node is not None:
            if touch:
                node.last_used = next(self._clock)
            child = node.children.get(tokens[length]) if length < len(tokens) else None
            if child is None:
                break
            shared = common_length(child.tokens, tokens[length : length + len(child.tokens)])
            length += shared
            node = child
            if shared < len(child.tokens):
                if touch:
                    node.last_used = next(self._clock)
                break
        if node is None or length == 0:
            return None
        return Match(_a_holder(node), length)

    def insert(self, key: Hashable, tokens: Sequence[int], holder: int, *, pin: bool = False) -> list[int]:
        """``holder`` begins with ``tokens``. Returns the holders that are not needed any more, perhaps ``holder``.

        ``pin`` keeps this prefix from eviction.
        """
        if not tokens:
            return [holder]
        root = self._roots.setdefault(key, _Node([], None, None, 0))
        node, start = root, 0
        while start < len(tokens):
            node.last_used = next(self._clock)
            child = node.children.get(tokens[start])
            if child is None:
                break
            shared = common_length(child.tokens, tokens[start : start + len(child.tokens)])
            if shared < len(child.tokens):
                child = self._split(child, shared)
            node, start = child, start + shared
        node.last_used = next(self._clock)
        if start == len(tokens):
            node.is_pinned |= pin
            return [holder]  # what goes further holds this too
        leaf = _Node(list(tokens[start:]), node, holder, next(self._clock))
        leaf.is_pinned = pin
        self.n_tokens += len(leaf.tokens)
        node.children[tokens[start]] = leaf
        freed = [] if node.holder is None else [node.holder]
        node.holder = None
        return freed

    def holders(self) -> list[int]:
        """All holders."""
        return [leaf.holder for leaf in self._leaves() if leaf.holder is not None]

    def move(self, holder: int, to: int) -> None:
        """``to`` holds by now what ``holder`` held."""
        next(leaf for leaf in self._leaves() if leaf.holder == holder).holder = to

    def evict(self) -> Eviction | None:
        """Give up the end of the prefix that was used longest ago; None when nothing is left that may go."""
        leaf = min((leaf for leaf in self._leaves() if not leaf.is_pinned), key=_age, default=None)
        if leaf is None:
            return None
        return self._remove(leaf)

    def forget(self, holder: int) -> None:
        """``holder`` is gone, with everything that only it held."""
        leaf = next((leaf for leaf in self._leaves() if leaf.holder == holder), None)
        while leaf is not None and leaf.parent is not None:
            eviction = self._remove(leaf)
            leaf = None if eviction.length == 0 else next(n for n in self._leaves() if n.holder == holder)

    def clear(self) -> None:
        """Forget everything."""
        self._roots.clear()
        self.n_tokens = 0

    def _remove(self, leaf: _Node) -> Eviction:
        parent, holder = leaf.parent, leaf.holder
        assert parent is not None
        assert holder is not None
        del parent.children[leaf.tokens[0]]
        self.n_tokens -= len(leaf.tokens)
        if parent.children or parent.depth == 0:
            if parent.depth == 0 and not parent.children:
                self._roots = {key: root for key, root in self._roots.items() if root is not parent}
            return Eviction(holder, 0)
        parent.holder = holder
        return Eviction(holder, parent.depth)

    def _split(self, node: _Node, length: int) -> _Node:
        """Put a node ``length`` tokens after the start of ``node``; returns it."""
        parent = node.parent
        assert parent is not None
        upper = _Node(node.tokens[:length], parent, None, node.last_used)
        parent.children[node.tokens[0]] = upper
        node.tokens = node.tokens[length:]
        node.parent = upper
        upper.children[node.tokens[0]] = node
        return upper

    def _leaves(self) -> Iterator[_Node]:
        stack = list(self._roots.values())
        while stack:
            node = stack.pop()
            if node.holder is not None:
                yield node
            stack.extend(node.children.values())


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Number of tokens that both begin with."""
    low, high = 0, min(len(left), len(right))
    if left[:high] == right[:high]:
        return high
    while high - low > 1:  # left[:low] is shared, left[:high] is not
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _a_holder(node: _Node) -> int:
    while node.holder is None:
        node = next(iter(node.children.values()))
    return node.holder


def _age(node: _Node) -> int:
    return node.last_used
