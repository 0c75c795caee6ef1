"""The tree of prefixes against a plain list of what each holder begins with."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edgellm_runtimes.scheduler.prefix_tree import Eviction, PrefixTree, common_length

TOKENS = st.lists(st.integers(0, 2), max_size=8)


def held_tokens(held: dict[int, list[int]]) -> int:
    return len({tuple(tokens[:end]) for tokens in held.values() for end in range(1, len(tokens) + 1)})


def insert(tree: PrefixTree, held: dict[int, list[int]], tokens: list[int], holder: int, *, pin: bool = False) -> None:
    held[holder] = tokens
    for freed in tree.insert("key", tokens, holder, pin=pin):
        del held[freed]


@given(st.lists(TOKENS, max_size=12), TOKENS, st.integers(0, 6))
@settings(max_examples=300, deadline=None)
def test_it_finds_what_a_search_through_all_holders_finds(
    prefixes: list[list[int]], wanted: list[int], evictions: int
) -> None:
    tree, held = PrefixTree(), dict[int, list[int]]()
    for holder, tokens in enumerate(prefixes):
        insert(tree, held, tokens, holder)
    for _ in range(evictions):
        eviction = tree.evict()
        if eviction is None:
            assert not held
            break
        assert eviction.length < len(held[eviction.holder])
        if eviction.length:
            held[eviction.holder] = held[eviction.holder][: eviction.length]
        else:
            del held[eviction.holder]
    assert len(tree) == len(held)
    assert tree.n_tokens == held_tokens(held)
    match = tree.match("key", wanted)
    longest = max((common_length(wanted, tokens) for tokens in held.values()), default=0)
    assert (match.length if match is not None else 0) == longest
    if match is not None:
        assert held[match.holder][: match.length] == wanted[: match.length]


@given(st.lists(TOKENS, min_size=1, max_size=8), st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_forgotten_is_gone_and_the_rest_is_not(prefixes: list[list[int]], data: st.DataObject) -> None:
    tree, held = PrefixTree(), dict[int, list[int]]()
    for holder, tokens in enumerate(prefixes):
        insert(tree, held, tokens, holder)
    if not held:
        return
    gone = data.draw(st.sampled_from(sorted(held)))
    tree.forget(gone)
    del held[gone]
    assert tree.n_tokens == held_tokens(held)
    assert len(tree) == len(held)
    for tokens in held.values():
        match = tree.match("key", tokens)
        assert match is not None
        assert match.length == len(tokens)


def test_two_keys_share_nothing() -> None:
    tree = PrefixTree()
    tree.insert("one", [1, 2, 3], 0)
    assert tree.match("other", [1, 2, 3]) is None


def test_a_longer_conversation_frees_the_shorter_one() -> None:
    tree = PrefixTree()
    assert tree.insert("key", [1, 2], 0) == []
    assert tree.insert("key", [1, 2, 3], 1) == [0]
    assert tree.insert("key", [1, 2, 3], 2) == [2]
    assert tree.n_tokens == 3


def test_a_prefix_that_is_used_outlives_what_came_after_it() -> None:
    tree = PrefixTree()
    tree.insert("key", [1, 2, 3, 4], 0)
    tree.insert("key", [1, 2, 5], 1)
    tree.insert("key", [7, 8], 2)
    tree.match("key", [1, 2])
    assert tree.evict() == Eviction(0, 0)
    assert tree.evict() == Eviction(1, 2)  # the shared beginning stays
    assert tree.evict() == Eviction(2, 0)
    assert tree.evict() == Eviction(1, 0)
    assert tree.evict() is None


def test_a_pinned_prefix_stays_and_what_follows_it_goes() -> None:
    tree = PrefixTree()
    tree.insert("key", [1, 2], 0, pin=True)
    assert tree.insert("key", [1, 2, 3], 1) == [0]
    assert tree.evict() == Eviction(1, 2)
    assert tree.evict() is None
    match = tree.match("key", [1, 2, 9])
    assert match is not None
    assert match.length == 2
