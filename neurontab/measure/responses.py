"""What sums by group say of a layer's neurons: strongest tokens; rows by position and source."""

import numpy as np
import torch

from neurontab.measure.columns import Columns
from neurontab.measure.groups import ActiveSums, TokenSums
from neurontab.measure.moments import Moments
from neurontab.measure.pairs import inverse_root
from neurontab.measure.survey import OFFSETS, LayerStatistics, Survey

LISTED = 20  # tokens of a neuron and offset
POSITIONS = 2_048  # that have sums of their own


def token_responses(layer: LayerStatistics, survey: Survey) -> list[tuple[str, Columns]]:
    """Offset and rows of table `token_response`, without the keys that all rows share."""
    ids = survey.grouped_tokens.numpy()
    return [(name, _strongest(layer.tokens[name], layer.post, ids)) for name in OFFSETS]


def group_rows(groups: ActiveSums, most: int = POSITIONS) -> Columns:
    """Neuron, group, n, sum and n_active of every group that has any position."""
    present = (groups.n > 0).nonzero()[:, 0]
    present = present[present < most]
    neurons = groups.sums.shape[1]
    return {
        "neuron": np.repeat(np.arange(neurons, dtype=np.int32), len(present)),
        "group": np.tile(present.cpu().numpy(), neurons),
        "n": np.tile(groups.n[present].cpu().numpy(), neurons),
        "sum": groups.sums[present].T.ravel().cpu().numpy(),
        "n_active": groups.active[present].T.ravel().cpu().numpy(),
    }


def _strongest(groups: TokenSums, post: Moments, ids: np.ndarray) -> Columns:
    n = groups.n[:-1]  # the last group is of all tokens without one of their own
    mean = groups.mean()[:-1]
    overall = post.shift.double() + post.shifted_mean
    z = (mean - overall) * n.sqrt()[:, None] * inverse_root(post.variance)
    z[n == 0] = -torch.inf
    best, place = z.T.topk(min(LISTED, len(n)), dim=1)
    neuron, rank = (best > -torch.inf).nonzero(as_tuple=True)
    group = place[neuron, rank]
    return {
        "neuron": neuron.int().cpu().numpy(),
        "rank": (rank + 1).int().cpu().numpy(),
        "token_id": ids[group.cpu().numpy()],
        "n": n[group].cpu().numpy(),
        "mean": mean[group, neuron].cpu().numpy(),
        "max": groups.highest[group, neuron].cpu().numpy(),
        "z": best[neuron, rank].cpu().numpy(),
    }
