"""Peers of PoNet's pooling. `literal` is the published code op by op (lxchtan/PoNet, Apache-2.0, read for its
formulae); `tuned` the best rewriting in the same ops that was found: no masks where nothing is masked, bmm
instead of einsum, one reduction per run of tokens instead of scatter and gather."""

import math

import torch
from torch import Tensor


def ponet_literal(
    q: Tensor, k: Tensor, o: Tensor, local: Tensor, segment: Tensor, ids: Tensor, batch: int, heads: int
) -> Tensor:
    columns = q.size(1)
    length = q.size(0) // batch
    dim = columns // heads
    qh = q.view(batch, length, heads, dim).permute(0, 2, 1, 3)
    kh = k.view(batch, length, heads, dim).permute(0, 2, 1, 3)
    oh = o.view(batch, length, heads, dim).permute(0, 2, 1, 3)
    valid = torch.ones([batch, 1, 1, length], dtype=q.dtype)
    padded = valid.view(batch, length, 1) < 0.5
    mean = qh.masked_fill(padded.view(batch, 1, length, 1), 0.0).sum(dim=-2) / valid.sum(dim=-1)
    scores = torch.einsum("bhd,bhld->bhl", mean, kh) / math.sqrt(dim)
    scores = scores + (1.0 - valid.view(batch, 1, length)) * -10000.0
    p = torch.softmax(scores, dim=-1)
    v = torch.einsum("bhl,bhld->bhd", p, kh).unsqueeze(2)
    seg = segment.view(batch, length, columns).masked_fill(padded, -10000.0)
    index = ids.view(batch, length, 1).to(torch.int64).expand(batch, length, columns)
    pooled = torch.zeros_like(seg).scatter_reduce(1, index, seg, "amax", include_self=False)
    seg = torch.gather(pooled, 1, index)
    loc = local.view(batch, length, columns).masked_fill(padded, -10000.0)
    loc = torch.max_pool1d(loc.permute(0, 2, 1), [3], [1], [1]).permute(0, 2, 1)
    seg = seg.view(batch, length, heads, dim).permute(0, 2, 1, 3)
    out = (v + seg) * oh
    out = out.permute(0, 2, 1, 3).reshape(batch, length, columns) + loc
    return out.masked_fill(padded, 0.0).view(batch * length, columns)


def ponet_tuned(
    q: Tensor, k: Tensor, o: Tensor, local: Tensor, segment: Tensor, lengths: Tensor, batch: int, heads: int
) -> Tensor:
    columns = q.size(1)
    length = q.size(0) // batch
    dim = columns // heads
    mean = q.view(batch, length, columns).mean(1)
    kh = k.view(batch, length, heads, dim).permute(0, 2, 1, 3)
    scores = torch.matmul(kh, mean.view(batch, heads, dim, 1)).squeeze(-1) / math.sqrt(dim)
    p = torch.softmax(scores, dim=-1)
    v = torch.matmul(p.unsqueeze(2), kh).view(batch, 1, columns)
    pooled = torch.segment_reduce(segment, "max", lengths=lengths)
    out = torch.repeat_interleave(pooled, lengths, dim=0, output_size=q.size(0))
    out.view(batch, length, columns).add_(v)
    out.mul_(o)
    loc = local.view(batch, length, columns)
    best = torch.maximum(loc[:, :-1], loc[:, 1:])  # of each token and the next one
    wide = out.view(batch, length, columns)
    wide[:, 1:-1] += torch.maximum(best[:, :-1], best[:, 1:])
    wide[:, 0] += best[:, 0]
    wide[:, -1] += best[:, -1]
    return out


def _projected(x: Tensor, weight: Tensor, bias: Tensor, layer: int) -> Tensor:
    columns = x.size(1)
    rows = weight.narrow(0, layer * columns, columns)
    return torch.addmm(bias.narrow(0, layer * columns, columns), x, rows.t())


def mixer_literal(
    x: Tensor, weight: Tensor, bias: Tensor, ids: Tensor, batch: int, heads: int
) -> Tensor:
    """All five projections, as published, then the literal pooling."""
    q = _projected(x, weight, bias, 0)
    k = _projected(x, weight, bias, 1)
    o = _projected(x, weight, bias, 2)
    local = _projected(x, weight, bias, 3)
    segment = _projected(x, weight, bias, 4)
    return ponet_literal(q, k, o, local, segment, ids, batch, heads)


def mixer_tuned(
    x: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor, batch: int, heads: int
) -> Tensor:
    """All five projections, then the tuned pooling."""
    q = _projected(x, weight, bias, 0)
    k = _projected(x, weight, bias, 1)
    o = _projected(x, weight, bias, 2)
    local = _projected(x, weight, bias, 3)
    segment = _projected(x, weight, bias, 4)
    return ponet_tuned(q, k, o, local, segment, lengths, batch, heads)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, batch: int, heads: int) -> Tensor:
    """What PoNet replaces, 256 queries of all heads at a time, so that the matrix of scores stays in the cache."""
    columns = q.size(1)
    length = q.size(0) // batch
    dim = columns // heads
    qh = q.view(batch, length, heads, dim).permute(0, 2, 1, 3).reshape(batch * heads, length, dim)
    kh = k.view(batch, length, heads, dim).permute(0, 2, 3, 1).reshape(batch * heads, dim, length)
    vh = v.view(batch, length, heads, dim).permute(0, 2, 1, 3).reshape(batch * heads, length, dim)
    out = torch.empty_like(qh)
    block = 256
    for first in range(0, length, block):
        n = min(block, length - first)
        scores = torch.bmm(qh.narrow(1, first, n), kh).mul_(1.0 / math.sqrt(dim))
        out.narrow(1, first, n).copy_(torch.bmm(torch.softmax(scores, dim=-1), vh))
    return out.view(batch, heads, length, dim).permute(0, 2, 1, 3).reshape(batch * length, columns)
