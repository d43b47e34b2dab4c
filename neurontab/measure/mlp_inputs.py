"""What the MLPs of a model read, kept in memory: activations follow from it without attention.

A model is run over the same tokens several times. What its MLPs read is d_model numbers a token and
layer, fewer than they have neurons; from these a layer's neurons are one matrix product away.
"""

import hashlib

import torch
from jaxtyping import Float, Int
from torch import Tensor

Tokens = Int[Tensor, "sequence position"]
Inputs = Float[Tensor, "layer sequence position d_model"]


class MlpInputs:
    """Inputs of all MLPs, of the batches that came first, as many as there is room for.

    Only batches of whole sequences of one length are kept, and none is ever replaced: a pass over
    the tokens would otherwise forget what the next begins with.
    """

    def __init__(
        self, layers: int, sequences: int, positions: int, d_model: int, device: torch.device
    ) -> None:
        """Room for so many sequences, of so many positions; memory is touched as it is filled."""
        self.inputs = torch.empty(layers, sequences, positions, d_model, device=device)
        self.places: dict[bytes, slice] = {}
        self.filled = 0

    def of(self, tokens: Tokens) -> Inputs | None:
        """What the MLPs read of these tokens, if it was kept."""
        place = self.places.get(_key(tokens)) if self.places else None
        return None if place is None else self.inputs[:, place]

    def room_for(self, tokens: Tokens) -> Inputs | None:
        """Where the inputs of more tokens are to be written, if there is room."""
        n, positions = tokens.shape
        last = self.filled + n
        if positions != self.inputs.shape[2] or last > self.inputs.shape[1]:
            return None
        return self.inputs[:, self.filled : last]

    def keep(self, tokens: Tokens) -> None:
        """What was written where there was room for these tokens is whole."""
        place = slice(self.filled, self.filled + len(tokens))
        self.places[_key(tokens)] = place
        self.filled = place.stop


def _key(tokens: Tokens) -> bytes:
    """Tells batches apart, of whatever shape."""
    shape = repr(tuple(tokens.shape)).encode()
    return hashlib.blake2b(shape + tokens.cpu().numpy().tobytes()).digest()
