"""Peers of token merging: each step as published, op by op, and as the best rewriting of it in eager ops."""

from typing import Tuple

import torch
from torch import Tensor


def _literal_match(metric: Tensor, r: int) -> Tuple[Tensor, Tensor, Tensor]:
    metric = metric / metric.norm(2, dim=[-1], keepdim=True)
    scores = metric[..., ::2, :] @ metric[..., 1::2, :].transpose(-1, -2)
    scores[..., 0, :] = -float("inf")
    best, to = scores.max(dim=-1)
    edges = best.argsort(dim=-1, descending=True)[..., None]
    unmerged = edges[..., r:, :].sort(dim=1)[0]
    sources = edges[..., :r, :]
    return unmerged, sources, to[..., None].gather(dim=-2, index=sources)


def _literal_merge(x: Tensor, unmerged: Tensor, sources: Tensor, to: Tensor) -> Tensor:
    even, odd = x[..., ::2, :], x[..., 1::2, :]
    batch, _, dim = even.shape
    left = even.gather(dim=-2, index=unmerged.expand(batch, unmerged.shape[1], dim))
    gone = even.gather(dim=-2, index=sources.expand(batch, sources.shape[1], dim))
    merged = odd.scatter_reduce(-2, to.expand(batch, to.shape[1], dim), gone, reduce="sum")
    return torch.cat([left, merged], dim=1)


def tome_step(metric: Tensor, x: Tensor, size: Tensor, r: int) -> Tuple[Tensor, Tensor]:
    unmerged, sources, to = _literal_match(metric, r)
    sizes = size[..., None]
    merged = _literal_merge(x * sizes, unmerged, sources, to)
    sizes = _literal_merge(sizes, unmerged, sources, to)
    return merged / sizes, sizes[..., 0]


def tome_step_tuned(metric: Tensor, x: Tensor, size: Tensor, r: int) -> Tuple[Tensor, Tensor]:
    batch, tokens, dim = x.shape
    metric = torch.nn.functional.normalize(metric, dim=-1)
    scores = torch.bmm(metric[:, ::2].contiguous(), metric[:, 1::2].contiguous().transpose(1, 2))
    scores[:, 0] = -float("inf")
    best, to = scores.max(dim=-1)
    sources = best.topk(r, dim=-1, sorted=False)[1]
    even, odd = scores.shape[1], scores.shape[2]
    stays = torch.ones([batch, even], dtype=torch.bool).scatter_(1, sources, torch.zeros_like(sources, dtype=torch.bool))
    unmerged = stays.nonzero()[:, 1].view(batch, even - r)
    first = (torch.arange(batch) * tokens)[:, None]
    rows = torch.cat([unmerged * 2, (torch.arange(odd) * 2 + 1).expand(batch, odd)], dim=1) + first
    gone = (sources * 2 + first).view(-1)
    target = (to.gather(1, sources) + (even - r) + (torch.arange(batch) * (tokens - r))[:, None]).view(-1)
    flat = x.view(-1, dim)
    sizes = size.view(-1)
    sizes_gone = sizes.index_select(0, gone)
    own = sizes.index_select(0, rows.view(-1))
    total = own.index_add(0, target, sizes_gone)
    merged = flat.index_select(0, rows.view(-1)).mul_(own[:, None])
    merged.index_add_(0, target, flat.index_select(0, gone).mul_(sizes_gone[:, None])).div_(total[:, None])
    return merged.view(batch, tokens - r, dim), total.view(batch, tokens - r)


def _grid(width: int, height: int) -> Tuple[Tensor, Tensor]:
    cells = torch.zeros([height // 2, width // 2, 4], dtype=torch.int64)
    cells[:, :, 0] = -1
    cells = cells.view(height // 2, width // 2, 2, 2).transpose(1, 2).reshape(height, width)
    order = cells.view(1, -1, 1).argsort(dim=1, stable=True)
    count = (height // 2) * (width // 2)
    return order[:, count:, :], order[:, :count, :]


def grid_step(x: Tensor, width: int, height: int, r: int) -> Tensor:
    batch, tokens, dim = x.shape
    a, b = _grid(width, height)
    metric = x / x.norm(2, dim=[-1], keepdim=True)
    sources = metric.gather(1, a.expand(batch, a.shape[1], dim))
    destinations = metric.gather(1, b.expand(batch, b.shape[1], dim))
    best, to = (sources @ destinations.transpose(-1, -2)).max(dim=-1)
    edges = best.argsort(dim=-1, descending=True)[..., None]
    unmerged, gone = edges[..., r:, :], edges[..., :r, :]
    to = to[..., None].gather(dim=-2, index=gone)
    even = x.gather(1, a.expand(batch, a.shape[1], dim))
    odd = x.gather(1, b.expand(batch, b.shape[1], dim))
    left = even.gather(dim=-2, index=unmerged.expand(batch, unmerged.shape[1], dim))
    merged = odd.scatter_reduce(
        -2, to.expand(batch, r, dim), even.gather(dim=-2, index=gone.expand(batch, r, dim)), reduce="mean"
    )
    y = torch.cat([left, merged], dim=1)
    out = torch.zeros([batch, tokens, dim])
    kept = unmerged.shape[1]
    back = y[:, kept:].gather(dim=-2, index=to.expand(batch, r, dim))
    out.scatter_(dim=-2, index=b.expand(batch, b.shape[1], dim), src=y[:, kept:])
    a = a.expand(batch, a.shape[1], 1)
    out.scatter_(dim=-2, index=a.gather(1, unmerged).expand(batch, kept, dim), src=y[:, :kept])
    out.scatter_(dim=-2, index=a.gather(1, gone).expand(batch, r, dim), src=back)
    return out


def grid_step_tuned(x: Tensor, width: int, height: int, r: int) -> Tensor:
    batch, tokens, dim = x.shape
    a, b = _grid(width, height)
    a, b = a.view(-1), b.view(-1)
    metric = torch.nn.functional.normalize(x, dim=-1)
    best, to = torch.bmm(metric.index_select(1, a), metric.index_select(1, b).transpose(1, 2)).max(dim=-1)
    edges = best.argsort(dim=-1, descending=True)
    unmerged, gone = edges[:, r:], edges[:, :r]
    kept = unmerged.shape[1]
    first = (torch.arange(batch) * tokens)[:, None]
    left = tokens - r
    rows = torch.cat([a[unmerged], b.expand(batch, b.shape[0])], dim=1) + first
    target = (to.gather(1, gone) + kept + (torch.arange(batch) * left)[:, None]).view(-1)
    sources = (a[gone] + first).view(-1)
    flat = x.view(-1, dim)
    counts = torch.ones([batch * left]).index_add_(0, target, torch.ones([batch * r]))
    y = flat.index_select(0, rows.view(-1)).index_add_(0, target, flat.index_select(0, sources))
    y.div_(counts[:, None])
    slot = torch.empty([batch * tokens], dtype=torch.int64)
    slot[rows.view(-1)] = torch.arange(batch * left)
    slot[sources] = target
    return y.index_select(0, slot).view(batch, tokens, dim)


def diffrate_block(x: Tensor, attention: Tensor, size: Tensor, prune: int, keep: int) -> Tuple[Tensor, Tensor]:
    batch, tokens, dim = x.shape
    importance = attention[:, :, 1:].mean(dim=1)
    order = torch.cat([torch.zeros([batch, 1], dtype=torch.int64), importance.argsort(dim=-1, descending=True) + 1], 1)
    x = x.gather(1, order[..., None].expand(batch, tokens, dim))
    sizes = size.gather(1, order)[..., None]
    x, sizes = x[:, :prune], sizes[:, :prune]
    metric = x / x.norm(2, dim=[-1], keepdim=True)
    scores = metric[:, keep:] @ metric[:, :keep].transpose(-1, -2)
    scores[:, :, 0] = -float("inf")
    best, to = scores.max(dim=-1)
    to = to[..., None]
    y = x[:, :keep].scatter_reduce(1, to.expand(batch, prune - keep, dim), x[:, keep:], reduce="mean")
    sizes = sizes[:, :keep].scatter_reduce(1, to, sizes[:, keep:] * best[..., None], reduce="sum")
    return y, sizes[..., 0]


def diffrate_block_tuned(x: Tensor, attention: Tensor, size: Tensor, prune: int, keep: int) -> Tuple[Tensor, Tensor]:
    batch, tokens, dim = x.shape
    order = attention[:, :, 1:].mean(dim=1).topk(prune - 1, dim=-1)[1] + 1
    first = (torch.arange(batch) * tokens)[:, None]
    heads = (torch.cat([torch.zeros([batch, 1], dtype=torch.int64), order[:, : keep - 1]], 1) + first).view(-1)
    tails = (order[:, keep - 1 :] + first).view(-1)
    flat = x.view(-1, dim)
    y = flat.index_select(0, heads)
    tail = flat.index_select(0, tails)
    a = torch.nn.functional.normalize(tail, dim=-1).view(batch, prune - keep, dim)
    b = torch.nn.functional.normalize(y, dim=-1).view(batch, keep, dim)
    best, to = torch.bmm(a, b[:, 1:].transpose(1, 2)).max(dim=-1)
    target = (to + 1 + (torch.arange(batch) * keep)[:, None]).view(-1)
    counts = torch.ones([batch * keep]).index_add_(0, target, torch.ones([batch * (prune - keep)]))
    y.index_add_(0, target, tail).div_(counts[:, None])
    sizes = size.view(-1)
    total = sizes.index_select(0, heads).index_add_(0, target, sizes.index_select(0, tails) * best.view(-1))
    return y.view(batch, keep, dim), total.view(batch, keep)
