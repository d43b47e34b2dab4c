"""Blocks turned piece by piece, group by group, against a transpose."""

import pytest
import torch

from neurontab.measure.turned import LENGTH, Layout, Turned

CPU = torch.device("cpu")


@pytest.mark.parametrize("n", [1, LENGTH - 1, LENGTH, LENGTH + 1, 3 * LENGTH + 5])
@pytest.mark.parametrize("groups", [1, 3])
def test_parts_are_the_transpose_less_the_shift_by_group(n: int, groups: int) -> None:
    random = torch.Generator().manual_seed(n)
    values = [torch.randn(n + 7, width, generator=random) for width in (3, 20)]
    shifts = [each.mean(dim=0) for each in values]
    rows = torch.randperm(n + 7, generator=random)[:n].sort().values
    group = torch.randint(0, groups, (n,), generator=random)
    batches = [slice(0, n // 2), slice(n // 2, n)]
    turned = Turned(23, n + 3, groups, CPU)
    for _ in range(2):  # What was there before is forgotten.
        turned.begin(Layout.of([group[batch] for batch in batches]))
        for number, batch in enumerate(batches):
            for layer, first in ((0, 0), (1, 3)):
                turned.add(
                    values[layer], rows[batch], shifts[layer], first_unit=first, batch=number
                )
    expected = torch.cat([(v[rows] - s).T for v, s in zip(values, shifts, strict=True)])
    assert turned.layout.n == n
    parts = list(turned.parts())
    for number in range(groups):
        mine = [part for part, of in zip(parts, turned.layout.groups, strict=True) if of == number]
        found = torch.cat([torch.zeros(23, 0), *mine], dim=1)
        assert torch.equal(found, expected[:, group == number])
    tensors = Turned(23, n, groups, CPU)
    tensors.begin(turned.layout)
    for number, batch in enumerate(batches):
        stride = turned.layout.strides[turned.layout.pieces[number]]
        begin = 23 * turned.layout.starts[turned.layout.pieces[number]]
        begin = begin + turned.layout.places[number]
        tensors.add_tensors(expected.T[batch], begin, stride)
    assert torch.equal(tensors.values, turned.values)
