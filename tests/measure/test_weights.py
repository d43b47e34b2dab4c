"""Sums over weights against numpy."""

import numpy as np
import pytest
import torch

from neurontab.measure.weights import MlpWeights, weight_sums


@pytest.mark.parametrize("gated", [False, True])
def test_weights_are_summed_as_their_columns_say(gated: bool) -> None:
    random = np.random.default_rng(0)
    w_in, w_out, gate = (random.normal(size=(5, 8)) for _ in range(3))
    bias = random.normal(size=5)
    weights = MlpWeights(
        torch.from_numpy(w_in),
        torch.from_numpy(w_out),
        torch.from_numpy(bias),
        torch.from_numpy(gate) if gated else None,
    )
    expected = {
        "input_bias": bias,
        "w_in_norm": np.linalg.norm(w_in, axis=1),
        "w_out_norm": np.linalg.norm(w_out, axis=1),
        "w_in_dot_w_out": np.einsum("nd,nd->n", w_in, w_out),
    }
    for power in (1, 2, 3, 4):
        expected |= {f"w_in_sum{power}": (w_in**power).sum(axis=1)}
        expected |= {f"w_out_sum{power}": (w_out**power).sum(axis=1)}
    if gated:
        expected |= {"w_gate_norm": np.linalg.norm(gate, axis=1)}
        expected |= {"gate_dot_w_out": np.einsum("nd,nd->n", gate, w_out)}
    found = weight_sums(weights)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values), name
