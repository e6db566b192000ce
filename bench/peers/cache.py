"""Peers of the cache operators."""

import torch
from torch import Tensor


def kv_compact(cache: Tensor, path: Tensor, lengths: Tensor) -> Tensor:
    """All layers at once, as Medusa does it: the rows are gathered, then copied."""
    rows = cache.index_select(-2, path[0] + lengths)
    cache.narrow(-2, int(lengths[0]), path.size(1)).copy_(rows)
    return lengths + path.size(1)
