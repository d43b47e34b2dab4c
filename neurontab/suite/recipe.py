"""The recipe of the embedded suite; a seed changes initial weights and the order of text."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Shape and training of a suite model.

    Many small steps beat few large ones at this size, and GPT-2's initial deviation of 0.02 would
    leave a hidden layer over 128 dimensions in the linear part of its GELU.
    """

    n_layers: int = 3
    d_model: int = 128
    d_mlp: int = 1024
    n_heads: int = 4
    n_ctx: int = 128
    d_vocab: int = 1024
    w_in_deviation: float = 0.05
    steps: int = 4_000
    batch: int = 4  # sequences a step
    warm_up: int = 100  # steps
    learning_rate: float = 4e-3
    final_share: float = 0.05  # of the learning rate, at the end of the cosine
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.1
    clip: float = 1.0


RECIPE = Recipe()
BOS = "<|endoftext|>"
