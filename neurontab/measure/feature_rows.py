"""What sums by feature say of a layer's neurons: the features that part their activations most."""

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.measure.columns import Columns
from neurontab.measure.features import HALVES, FeatureSums
from neurontab.measure.survey import OFFSETS, LayerStatistics, Survey, shifted

Keyed = tuple[dict[str, str], Columns]  # what all rows share, and the rest

KEPT = 20  # features of a neuron and offset


def feature_groups(layer: LayerStatistics, survey: Survey) -> list[Keyed]:
    """Rows of table `feature_groups`: the best of each neuron in the first half.

    Features are ranked by the variance between where they are true and where they are not; one that
    is true of no position or of all parts nothing.
    """
    found: list[Keyed] = []
    for (by, offset), sums in layer.features.items():
        names = survey.labels[by].names
        every = len(names)  # the label that is true of all
        n, total = sums.n, sums.result()
        between = _between(n[0, :every], total[0, :every], n[0, every], total[0, every])
        rows, place = _best(between, KEPT, names)
        whole = _summed(sums, total, place, rows, slice(HALVES), every)
        held_out = _summed(sums, total, place, rows, slice(1, HALVES), every)
        columns = rows | whole | {f"{name}_held_out": each for name, each in held_out.items()}
        found.append(({"by": by, "offset": offset}, columns))
    return found


def feature_chance(layer: LayerStatistics, survey: Survey) -> list[Keyed]:
    """Rows of table `feature_chance`: of features by chance the one that parts most."""
    found: list[Keyed] = []
    for (by, offset), sums in layer.features.items():
        names = survey.labels[by].names
        every = len(names)
        chance = slice(every + 1, 2 * every + 1)
        total = sums.result()
        n, both = sums.n.sum(dim=0), total.sum(dim=0)
        between = _between(n[chance], both[chance], n[every], both[every])
        rows, place = _best(between, 1, names)
        del rows["rank"]
        columns = rows | _summed(sums, total, place + every + 1, rows, slice(HALVES), every)
        found.append(({"by": by, "offset": offset}, columns))
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


def feature_support(survey: Survey) -> list[Keyed]:
    """Table `feature_support`: at how many positions, in how many documents, a feature is true."""
    corpus = survey.corpus
    tokens = corpus.batch(0, len(corpus.tokens))
    counted = corpus.counted(tokens)
    found: list[Keyed] = []
    for by, labels in survey.labels.items():
        every = len(labels.names)
        kinds = survey.text_labels.pattern if survey.text_labels and by == "label" else tokens
        for offset, steps in OFFSETS.items():
            there = shifted(torch.where(counted, kinds, -1), steps)
            present = counted & (there >= 0)
            document = torch.from_numpy(corpus.document)[present].long()
            kind, place = there[present].long().unique(return_inverse=True)
            true = labels.true[:every, kind]
            counts = torch.bincount(place, minlength=len(kind))
            pairs = (document * len(kind) + place).unique()
            document, place = pairs // len(kind), pairs % len(kind)
            columns: Columns = {
                "feature": labels.names,
                "n_true": np.array([int(counts[each].sum()) for each in true]),
                "n_documents": np.array(
                    [len(document[each[place]].unique_consecutive()) for each in true]
                ),
            }
            found.append(({"by": by, "offset": offset}, columns))
    return found


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
    between: Float[Tensor, "feature neuron"], most: int, names: npt.NDArray[np.generic]
) -> tuple[Columns, np.ndarray]:
    """Neuron, rank and name of the features that part most, and their places."""
    best, place = (each[:, :most] for each in between.T.sort(dim=1, descending=True, stable=True))
    neuron, rank = (best > -torch.inf).nonzero(as_tuple=True)
    chosen = place[neuron, rank].cpu().numpy()
    return {
        "neuron": neuron.int().cpu().numpy(),
        "rank": (rank + 1).int().cpu().numpy(),
        "feature": names[chosen],
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
