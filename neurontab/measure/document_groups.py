"""Groups of whole documents, so that what is measured is also known without each of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from neurontab.measure.corpus import Corpus

GROUPS = 50  # about: each source has one at least


@dataclass(frozen=True)
class DocumentGroups:
    """Which group each document is in, and the source of each group: no group has two."""

    group_of: Int[Tensor, " document"]
    source_of: npt.NDArray[np.int64]  # [group]
    n: npt.NDArray[np.int64]  # counted positions [group]
    n_documents: npt.NDArray[np.int64]  # [group]

    @classmethod
    def of(cls, corpus: Corpus) -> "DocumentGroups":
        """Shares the groups among sources by their counted tokens; documents of a source in turn.

        The largest documents are given out first, there and back, so that groups are of about the
        same size.
        """
        counted = corpus.counted(corpus.batch(0, len(corpus.tokens))).numpy()
        sizes = np.bincount(corpus.document[counted], minlength=int(corpus.document.max()) + 1)
        source = np.zeros(len(sizes), np.int64)
        source[corpus.document] = corpus.source[:, None]
        group_of = np.zeros(len(sizes), np.int64)
        source_of: list[int] = []
        for number in np.unique(source[sizes > 0]):
            mine = np.flatnonzero((source == number) & (sizes > 0))
            share = round(GROUPS * sizes[mine].sum() / sizes.sum())
            groups = int(min(max(share, 1), len(mine)))
            order = mine[np.argsort(-sizes[mine], kind="stable")]
            turn = np.arange(len(mine)) % (2 * groups)
            group_of[order] = len(source_of) + np.minimum(turn, 2 * groups - 1 - turn)
            source_of += [int(number)] * groups
        n = np.zeros(len(source_of), np.int64)
        np.add.at(n, group_of, sizes)
        n_documents = np.bincount(group_of[sizes > 0], minlength=len(source_of))
        return cls(torch.from_numpy(group_of), np.array(source_of), n, n_documents)

    def __len__(self) -> int:
        return len(self.source_of)
