"""What sums by feature say of a layer's neurons: the features that part their activations most."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.measure.columns import Columns, stacked
from neurontab.measure.features import HALVES, FeatureSums
from neurontab.measure.survey import OFFSETS, LayerStatistics, Survey, shifted

KEPT = 20  # features of a neuron and offset


def feature_groups(layer: LayerStatistics, survey: Survey) -> list[tuple[str, Columns]]:
    """Offset and rows of table `feature_groups`: the best of each neuron in the first half.

    Features are ranked by the variance between where they are true and where they are not; one that
    is true of no token or of all parts nothing.
    """
    every = len(survey.features.names)  # the label that is true of all
    found = []
    for offset, sums in layer.features.items():
        n, total = sums.n, sums.result()
        between = _between(n[0, :every], total[0, :every], n[0, every], total[0, every])
        rows, place = _best(between, KEPT, survey)
        whole = _summed(sums, total, place, rows, slice(HALVES), every)
        held_out = _summed(sums, total, place, rows, slice(1, HALVES), every)
        columns = rows | whole | {f"{name}_held_out": each for name, each in held_out.items()}
        found.append((offset, columns))
    return found


def feature_chance(layer: LayerStatistics, survey: Survey) -> list[tuple[str, Columns]]:
    """Offset and rows of table `feature_chance`: of shuffled labels the one that parts most."""
    every = len(survey.features.names)
    shuffled = slice(every + 1, 2 * every + 1)
    found = []
    for offset, sums in layer.features.items():
        total = sums.result()
        n, both = sums.n.sum(dim=0), total.sum(dim=0)
        between = _between(n[shuffled], both[shuffled], n[every], both[every])
        rows, place = _best(between, 1, survey)
        del rows["rank"]
        columns = rows | _summed(sums, total, place + every + 1, rows, slice(HALVES), every)
        found.append((offset, columns))
    return found


def token_spread(layer: LayerStatistics) -> list[tuple[str, Columns]]:
    """Offset and rows of table `token_spread`: the variance between means by token."""
    found = []
    for offset, groups in layer.tokens.items():
        n = groups.n.double()
        mean = groups.sums.sum(dim=0) / n.sum().clamp_min(1)
        between = n @ (groups.mean() - mean).square().where(n[:, None] > 0, 0.0)
        neurons = len(mean)
        columns: Columns = {
            "neuron": np.arange(neurons, dtype=np.int32),
            "n": np.full(neurons, int(n.sum())),
            "n_tokens": np.full(neurons, int((n > 0).sum())),
            "between": between.cpu().numpy(),
        }
        found.append((offset, columns))
    return found


def feature_support(survey: Survey) -> Columns:
    """Table `feature_support`: at how many positions, in how many documents, a feature is true."""
    corpus, features = survey.corpus, survey.features
    tokens = corpus.batch(0, len(corpus.tokens))
    counted = corpus.counted(tokens)
    parts: list[Columns] = []
    for offset, by in OFFSETS.items():
        there = torch.where(counted, shifted(torch.where(counted, tokens, -1), by), -1)
        present = there >= 0
        token = there[present]
        document = torch.from_numpy(corpus.document)[present].long()
        types = features.true.shape[1]
        pairs = (document * types + token).unique()
        document, kind = pairs // types, pairs % types
        counts = torch.bincount(token, minlength=types)
        true = features.true[:-1]
        parts.append(
            {
                "offset": np.full(len(true), offset, dtype=object),
                "feature": features.names,
                "n_true": np.array([int(counts[each].sum()) for each in true]),
                "n_documents": np.array(
                    [len(document[each[kind]].unique_consecutive()) for each in true]
                ),
            }
        )
    return stacked(parts)


def _between(
    n: Int[Tensor, " feature"],
    total: Float[Tensor, "feature neuron"],
    n_all: Int[Tensor, ""],
    total_all: Float[Tensor, " neuron"],
) -> Float[Tensor, "feature neuron"]:
    """Sum of squares between two groups: n1 n0 / n (mean1 - mean0)^2; -inf where one is empty."""
    true, false = (each.to(total.device)[:, None].double() for each in (n, n_all - n))
    difference = total / true - (total_all - total) / false
    between = true * false / (true + false) * difference.square()
    return torch.where((true > 0) & (false > 0), between, -torch.inf)


def _best(
    between: Float[Tensor, "feature neuron"], most: int, survey: Survey
) -> tuple[Columns, np.ndarray]:
    """Neuron, rank and name of the features that part most, and their places."""
    best, place = (each[:, :most] for each in between.T.sort(dim=1, descending=True, stable=True))
    neuron, rank = (best > -torch.inf).nonzero(as_tuple=True)
    chosen = place[neuron, rank].cpu().numpy()
    return {
        "neuron": neuron.int().cpu().numpy(),
        "rank": (rank + 1).int().cpu().numpy(),
        "feature": survey.features.names[chosen],
    }, chosen


def _summed(
    sums: FeatureSums,
    total: Float[Tensor, "half label neuron"],
    place: np.ndarray,
    rows: Columns,
    halves: slice,
    every: int,
) -> Columns:
    """n, sum and deviations at all positions of some halves; n and sum where a label is true."""
    n = sums.n[halves].sum(dim=0).numpy()
    found = total[halves].sum(dim=0).cpu().numpy()
    neuron = rows["neuron"].astype(int)
    return {
        "n": np.full(len(neuron), n[every]),
        "n_true": n[place],
        "sum": found[every, neuron],
        "sum_true": found[place, neuron],
        "m2": sums.deviations(halves, every).cpu().numpy()[neuron],
    }
