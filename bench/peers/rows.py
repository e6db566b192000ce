"""Peers of the row operators: one ATen call each."""

from typing import Tuple

import torch
from torch import Tensor


def argmax(x: Tensor) -> Tensor:
    return torch.argmax(x, dim=-1)


def topk(x: Tensor, k: int) -> Tuple[Tensor, Tensor]:
    return torch.topk(x, k, dim=-1)


def index_select(table: Tensor, ids: Tensor, out: Tensor) -> None:
    torch.index_select(table, 0, ids, out=out)


def index_copy(out: Tensor, ids: Tensor, x: Tensor) -> None:
    out.index_copy_(0, ids.long(), x)


def index_add(out: Tensor, ids: Tensor, x: Tensor) -> None:
    out.index_add_(0, ids, x)


def index_max(out: Tensor, ids: Tensor, x: Tensor) -> None:
    out.index_reduce_(0, ids, x, "amax")
