"""Blocks turned piece by piece against a transpose."""

import pytest
import torch

from neurontab.measure.turned import LENGTH, Turned

CPU = torch.device("cpu")


@pytest.mark.parametrize("n", [1, LENGTH - 1, LENGTH, LENGTH + 1, 3 * LENGTH + 5])
def test_parts_are_the_transpose_less_the_shift(n: int) -> None:
    random = torch.Generator().manual_seed(n)
    values = [torch.randn(n + 7, width, generator=random) for width in (3, 20)]
    shifts = [each.mean(dim=0) for each in values]
    rows = torch.randperm(n + 7, generator=random)[:n].sort().values
    turned, tensors = Turned(23, 4 * LENGTH, CPU), Turned(23, 4 * LENGTH, CPU)
    for _ in range(2):  # What was there before is forgotten.
        turned.clear()
        for first, some in ((0, rows[: n // 2]), (n // 2, rows[n // 2 :])):
            for layer, first_unit in ((0, 0), (1, 3)):
                into = {"first_unit": first_unit, "first": first}
                turned.add(values[layer], some, shifts[layer], **into)
    for layer, first_unit in ((0, 0), (1, 3)):
        into_pieces = tensors.pieces_of(first_unit, len(shifts[layer]))
        Turned.add_tensors(values[layer][rows] - shifts[layer], into_pieces, 0)
    expected = torch.cat([(v[rows] - s).T for v, s in zip(values, shifts, strict=True)])
    assert turned.n == n
    assert torch.equal(torch.cat(list(turned.parts()), dim=1), expected)
    assert torch.equal(turned.pieces, tensors.pieces_of(0, 23)[: len(turned.pieces)])
    assert not turned.pieces[-1, :, (n - 1) % LENGTH + 1 :].any()
