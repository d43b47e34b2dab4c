"""Which exact correlations settle the best matches, and whether they do."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neurontab.measure.best import NONE
from neurontab.measure.candidates import Candidates, Chosen, Side, Units
from neurontab.measure.family import Family
from neurontab.measure.finals import Finals, dense_corr, listed_corr, row_bytes
from neurontab.measure.matching import BOUND, EXACT, HIGHEST, PROBABLE, Matching

READ_AT_ONCE = 128  # whole rows, so that what is read of them is small beside tiles
LESS = 0.95  # of what would just fit, if pairs were in two lists as often in long as in short ones

Models = tuple[str, str]
Pairs = tuple[Units, Units]
Listed = tuple[str, str, Units, Int[Tensor, "_ _"]]  # of a model's rows with another's units
Measured = Callable[[str, str, Units, Tensor], Tensor]  # correlations of what is so listed
Values = dict[Models, tuple[Units, Float[Tensor, " pair"]]]  # of listed pairs, by their numbers


class Settling:
    """Fills a matching from exact correlations until nothing is left open.

    First all chosen pairs are measured, and rows with too many of those; then rows in which
    something that was not chosen may still be better than the last match that is kept.
    """

    def __init__(
        self,
        family: Family,
        candidates: Candidates,
        longer: Candidates,
        matching: Matching,
        groups: int,
        pairs: int,
    ) -> None:
        """Longer lists stand for those of the same neurons, unless that is too much in all.

        Sums of listed pairs are kept for so many groups of documents; there is room for those of so
        many `pairs` of a neuron and other model, on average; of the longest lists that are beyond
        it, rows are measured whole.
        """
        self._family, self._matching = family, matching
        self._groups = groups
        self._planned = pairs * len(family.layers) * sum(map(self._width, family.layers))
        short = [(side, candidates.chosen(side)) for side in candidates.units]
        again = [(side, longer.chosen(side)) for side, units in longer.units.items() if len(units)]
        self._choose([*_without(short, longer), *again])
        if again and self._too_many(self._pairs(self._lists(whole=False))):
            self._choose(short)
        self._keep_to_plan()
        self.n_further = 0  # rows that the chosen pairs did not settle

    def passes(self, room: int) -> Iterator[Finals]:
        """What to measure next, so many whole rows at a time as `room` bytes hold the sums of.

        Each is to be summed over all tokens before the next is asked for.
        """
        pairs, whole = self._first()
        while finals := Finals.of(self._family, pairs, self._fitting(room), self._groups):
            yield finals
            self._take_rows(finals.rows, partial(self._of_dense, finals))
            finals.forget_rows()
            if pairs:
                values = self._values(finals)
                self._take_rows(whole, partial(self._measured, values))
                self._take_pairs(values)
                del values  # not beside the sums of the next rows
            pairs = {}

    def _first(self) -> tuple[dict[Models, Pairs], dict[Models, Units]]:
        """The pairs that the first pass measures, and the whole rows that are among them.

        All chosen pairs, and whole rows while there are no more pairs than is planned for. Of what
        is best among pairs more is asked than its correlation, which takes a pass of its own
        otherwise; but whole rows are left out altogether where even what is chosen of them is more.
        """
        whole = {models: rows.nonzero()[:, 0] for models, rows in self._open.items() if rows.any()}
        more = sum(len(rows) * self._width(other) for (_, other), rows in whole.items())
        pairs = self._pairs(self._lists(whole=True))
        if self._too_many(pairs):
            return self._pairs(self._lists(whole=False)), {}
        if self._too_many(pairs, more):
            return pairs, {}
        for rows in self._open.values():
            rows[:] = False
        every = ((*models, rows, self._others(*models, rows)) for models, rows in whole.items())
        return self._pairs(chain(self._lists(whole=True), every)), whole

    def _choose(self, chosen: Sequence[tuple[Side, Chosen]]) -> None:
        """Takes what is chosen, and which rows are to be whole."""
        self._chosen = chosen
        self._whole: dict[Models, Bool[Tensor, " row"]] = {}  # measured with all units, or to be
        for (model, other, _), each in chosen:
            none = torch.zeros(self._width(model), dtype=torch.bool)
            self._whole.setdefault((model, other), none)[each.units[each.dense]] = True

    def _keep_to_plan(self) -> None:
        """Has the rows with the longest lists measured whole, while there is no room for all.

        What is whole is still open.
        """
        while (n := _count(self._pairs(self._lists(whole=False)))) > self._planned:
            lists = [(m, o, self._not_whole(m, o, each)) for (m, o, _), each in self._chosen]
            lengths = [(each.index >= 0).sum(dim=1) for _, _, each in lists]
            every, order = torch.cat(lengths).sort(stable=True)
            kept = every.cumsum(0) <= LESS * every.sum() * self._planned / n
            too_long = torch.zeros(len(every), dtype=torch.bool)
            too_long[order[~kept]] = True
            rows = too_long.split(list(map(len, lengths)))
            for (model, other, each), those in zip(lists, rows, strict=True):
                self._whole[model, other][each.units[those]] = True
        self._open = {models: rows.clone() for models, rows in self._whole.items()}

    def _too_many(self, pairs: Mapping[Models, Pairs], more: int = 0) -> bool:
        """Whether there are more than planned for."""
        return _count(pairs) + more > self._planned

    def _lists(self, *, whole: bool) -> Iterator[Listed]:
        """What is chosen, without that of whole rows unless it is wanted."""
        for (model, other, _), each in self._chosen:
            found = each if whole else self._not_whole(model, other, each)
            yield model, other, found.units, found.index

    def _not_whole(self, model: str, other: str, chosen: Chosen) -> Chosen:
        return chosen.where(~self._whole[model, other][chosen.units])

    def _others(self, model: str, other: str, rows: Units) -> Int[Tensor, "row other"]:
        """For some rows of a model, all units of another that may match them; -1 for the rest."""
        index = torch.arange(self._width(other)).expand(len(rows), -1)
        may = self._family.eligible(model).cpu()[rows, None] & self._family.eligible(other).cpu()
        if model == other:
            may = may & (index != rows[:, None])
        return torch.where(may, index, -1)

    def _pairs(self, lists: Iterable[Listed]) -> dict[Models, Pairs]:
        """All listed pairs, each once, in order, by pair of models."""
        keys: dict[Models, list[Units]] = {}
        for model, other, rows, index in lists:
            row, rank = (index >= 0).nonzero(as_tuple=True)
            models, key = self._key(model, other, rows[row], index[row, rank])
            keys.setdefault(models, []).append(key)
        found = {models: torch.cat(parts).unique() for models, parts in keys.items()}
        widths = {models: self._width(models[1]) for models in found}
        return {m: (key // widths[m], key % widths[m]) for m, key in found.items() if len(key)}

    def _key(self, model: str, other: str, unit: Units, other_unit: Units) -> tuple[Models, Units]:
        """Two models in the order of the family, and a number for each pair of their units."""
        names = list(self._family.layers)
        if model == other:
            unit, other_unit = torch.minimum(unit, other_unit), torch.maximum(unit, other_unit)
        elif names.index(model) > names.index(other):
            model, other, unit, other_unit = other, model, other_unit, unit
        return (model, other), unit * self._width(other) + other_unit

    def _width(self, model: str) -> int:
        return len(self._family.eligible(model))

    def _fitting(self, room: int) -> dict[Models, Units]:
        """Open rows for which there is memory, one at least; they are no longer open."""
        now: dict[Models, Units] = {}
        for models, still in self._open.items():
            size = row_bytes(self._width(models[1]))
            rows = still.nonzero()[:, 0][: max(room // size, 0 if now else 1)]
            if len(rows):
                now[models] = rows
                room -= size * len(rows)
                still[rows] = False
        return now

    def _take_rows(self, whole: Mapping[Models, Units], measured: Measured) -> None:
        """The best of whole rows, on every side."""
        for (model, other), rows in whole.items():
            sides = {key[2] for key, _ in self._chosen if key[:2] == (model, other)}
            for some in rows.split(READ_AT_ONCE):
                index = self._others(model, other, some)
                corr = measured(model, other, some, index)
                for side in sides:
                    self._matching.settle(model, other, side, some, index, corr)
            self._matching.certify(model, other, rows, EXACT)

    def _of_dense(
        self,
        finals: Finals,
        model: str,
        other: str,
        rows: Units,
        index: Int[Tensor, "row other"],
    ) -> Float[Tensor, "row other"]:
        """Exact correlations of rows that were measured with all units."""
        return dense_corr(self._family, finals, model, other, rows)

    def _take_pairs(self, values: Values) -> None:
        """The best of the chosen pairs; rows in which they do not settle it are left open."""
        for (model, other, side), every in self._chosen:
            each = self._not_whole(model, other, every)
            rows = each.units
            corr = self._measured(values, model, other, rows, each.index)
            least = self._matching.settle(model, other, side, rows, each.index, corr)
            failed = each.rest > least
            self._whole[model, other][rows[failed]] = True
            self._open[model, other][rows[failed]] = True
            self.n_further += int(failed.sum())
            if side == HIGHEST:
                sure, all_listed = each.rest_sure < least, each.rest == NONE
                self._matching.certify(model, other, rows[~sure], PROBABLE)
                self._matching.certify(model, other, rows[sure], BOUND)
                self._matching.certify(model, other, rows[all_listed], EXACT)

    def _values(self, finals: Finals) -> Values:
        """Correlations of all listed pairs, in order of their numbers."""
        return {
            models: (
                self._key(*models, sums.unit, sums.other_unit)[1],
                listed_corr(self._family, models, sums),
            )
            for models, sums in finals.listed.items()
        }

    def _measured(
        self,
        values: Values,
        model: str,
        other: str,
        rows: Units,
        index: Int[Tensor, "row listed"],
    ) -> Float[Tensor, "row listed"]:
        """Exact correlations of rows with their listed units; 0 where nothing is listed."""
        corr = torch.zeros(index.shape, dtype=torch.float64)
        row, rank = (index >= 0).nonzero(as_tuple=True)
        models, key = self._key(model, other, rows[row], index[row, rank])
        if len(key):
            keys, found = values[models]
            corr[row, rank] = found[torch.searchsorted(keys, key)]
        return corr


def _count(pairs: Mapping[Models, Pairs]) -> int:
    return sum(len(units) for units, _ in pairs.values())


def _without(
    chosen: Iterable[tuple[Side, Chosen]], longer: Candidates
) -> Iterator[tuple[Side, Chosen]]:
    """What is chosen of neurons that have no longer list."""
    for side, each in chosen:
        yield side, each.where(~torch.isin(each.units, longer.units[side]))
