"""The recipe of the embedded suite; a seed changes initial weights and the order of text."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Shape and training of a suite model.

    Neurons that begin at rest, far below zero, come to fire rarely and each for a reason of its
    own; GPT-2's initial deviation of 0.02 would leave a hidden layer over 128 dimensions in the
    linear part of its GELU. Dropout of what is embedded and of what attention and neurons add, as
    in GPT-2, makes seeds agree on many more neurons.
    """

    n_layers: int = 4
    d_model: int = 128
    d_mlp: int = 512
    n_heads: int = 4
    n_ctx: int = 256
    d_vocab: int = 4_096
    w_in_deviation: float = 0.05
    input_bias: float = -1.75
    steps: int = 14_000
    batch: int = 16  # sequences a step
    dropout: float = 0.1  # of embeddings, and of what attention and neurons add
    warm_up: int = 200  # steps
    learning_rate: float = 3e-3
    embedding_rate: float = 1e-2
    attention_rate: float = 2e-2  # of Muon, for the matrices of attention
    final_share: float = 0.02  # of each rate, at the end of a cosine
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.02
    clip: float = 1.0


RECIPE = Recipe()
BOS = "<|endoftext|>"
