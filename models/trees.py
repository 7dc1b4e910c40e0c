"""States as trees: a NamedTuple of tensors, or of such NamedTuples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor


def map_tree(function: Callable[..., Tensor], *trees: Any) -> Any:
    """A tree of what `function` makes of the tensors that the trees of one shape hold at the same place."""
    first = trees[0]
    if isinstance(first, Tensor):
        return function(*trees)
    return type(first)(*(map_tree(function, *parts) for parts in zip(*trees, strict=True)))


def leaves(tree: Any) -> Iterator[Tensor]:
    """The tensors of a tree, in their order."""
    if isinstance(tree, Tensor):
        yield tree
    else:
        for part in tree:
            yield from leaves(part)


def expand_rows(state: Any, candidates: int) -> Any:
    """The tree with every tensor [B, ...] as a view [B, C, ...]."""
    return map_tree(lambda x: x[:, None].expand(-1, candidates, *(-1,) * (x.dim() - 1)), state)
