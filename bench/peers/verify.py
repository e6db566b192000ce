"""Peers of tree_verify: one tree, all rows at once and then the walk, as the published loops do it."""

from typing import List, Tuple

import torch
from torch import Tensor


def _answer(path: List[int], width: int, token: int) -> Tuple[Tensor, Tensor, Tensor]:
    accepted = torch.full((1, width), -1, dtype=torch.int32)
    accepted[0, : len(path)] = torch.tensor(path, dtype=torch.int32)
    counts = torch.tensor([len(path) - 1], dtype=torch.int32)
    return accepted, counts, torch.tensor([token], dtype=torch.int32)


def greedy_verify(
    logits: Tensor, tokens: Tensor, first_child: Tensor, next_sibling: Tensor, width: int
) -> Tuple[Tensor, Tensor, Tensor]:
    predicted: List[int] = torch.argmax(logits, dim=-1).tolist()
    token: List[int] = tokens.long().tolist()
    child: List[int] = first_child.long().tolist()
    sibling: List[int] = next_sibling.long().tolist()
    path = [0]
    while len(path) < width:
        node = child[path[-1]]
        while node != -1 and token[node] != predicted[path[-1]]:
            node = sibling[node]
        if node == -1:
            break
        path.append(node)
    return _answer(path, width, predicted[path[-1]])


def target_only_verify(
    logits: Tensor,
    tokens: Tensor,
    first_child: Tensor,
    next_sibling: Tensor,
    uniforms: Tensor,
    final_uniforms: Tensor,
    width: int,
) -> Tuple[Tensor, Tensor, Tensor]:
    probabilities = torch.softmax(logits, dim=-1)
    token: List[int] = tokens.long().tolist()
    child: List[int] = first_child.long().tolist()
    sibling: List[int] = next_sibling.long().tolist()
    coin: List[float] = uniforms.double().tolist()
    path = [0]
    rest = probabilities[0]
    descends = True
    while descends and len(path) < width:
        last = path[-1]
        rest = probabilities[last].clone()
        passed = 0.0
        node = child[last]
        descends = False
        while node != -1 and not descends:
            passed += float(probabilities[last, token[node]])
            if coin[last] <= passed:
                descends = True
                path.append(node)
            else:
                rest[token[node]] = 0.0
                node = sibling[node]
    if descends:
        rest = probabilities[path[-1]]
    prefix = torch.cumsum(rest, 0)
    drawn = torch.searchsorted(prefix, final_uniforms * prefix[-1], right=True)
    return _answer(path, width, int(drawn[0]))
