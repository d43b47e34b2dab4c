"""Per neuron: what its weights say to the vocabulary, without running the model."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from neurontab.measure.chance import highest_cosine, highest_share, highest_spread
from neurontab.measure.columns import Columns

NULL_SHARE = 0.01  # of d_model, the directions that the unembedding reads least
LISTED = 10  # tokens promoted and suppressed
ROUNDING = 1e-14  # of the highest eigenvalue, below which there is nothing
AT_ONCE = 256  # neurons whose logits are in memory together


@dataclass(frozen=True)
class Vocabulary:
    """Embedding and unembedding of the tokens that count, and what neurons are compared with."""

    ids: Int[Tensor, " token"]
    embed: Float[Tensor, "token d_model"]
    unembed: Float[Tensor, "token d_model"]
    null: Float[Tensor, "d_model null"]  # directions that the unembedding reads least
    gap: float  # singular value next above them, over their highest
    dimensions: int  # in which vectors written to the stream lie
    frequency: Float[Tensor, " token"]  # log frequency, centred, of length 1

    @classmethod
    def of(
        cls,
        ids: Int[Tensor, " token"],
        embed: Float[Tensor, "row d_model"],
        unembed: Float[Tensor, "row d_model"],
        counts: Int[Tensor, " row"],
        *,
        centred: bool,
    ) -> "Vocabulary":
        """From the rows of all tokens; `centred` streams have no part along ones.

        That direction is read by nothing and written by nothing, so it is no null direction: it is
        taken to the other end of the spectrum.
        """
        read = unembed[ids] - unembed[ids].mean(dim=0)
        products = read.T @ read
        if centred:
            products = products + products.trace() / len(products) * torch.ones_like(products)
        values, vectors = torch.linalg.eigh(products)  # squared singular values, rising
        k = max(1, round(NULL_SHARE * embed.shape[1]))
        singular = values.clamp_min(ROUNDING * values[-1]).sqrt()
        often = ((counts[ids] + 1).double() / (counts[ids] + 1).sum()).log()
        often = (often - often.mean()).to(read.device)
        return cls(
            ids,
            embed[ids],
            read,
            vectors[:, :k],
            float(singular[k] / singular[k - 1]),
            embed.shape[1] - int(centred),
            often / often.norm().clamp_min(1e-300),
        )

    def chances(self, vectors: int) -> dict[str, float]:
        """What the best of as many random vectors has of what is measured of a layer."""
        if vectors not in self._chances:
            unit = torch.nn.functional.normalize(self.unembed, dim=1)
            spread = torch.linalg.eigvalsh(torch.cov(unit.T, correction=0).cpu())
            read, axes = torch.linalg.eigh((self.unembed.T @ self.unembed).cpu())
            along = ((self.frequency @ self.unembed).cpu() @ axes).abs()  # axes have no sign
            here = slice(-self.dimensions, None)
            spread, read, along = (each[here].float() for each in (spread, read, along))
            self._chances[vectors] = {
                "null_fraction": highest_share(vectors, self.null.shape[1], self.dimensions),
                "vocab_var": highest_spread(vectors, spread.clamp_min(0)),
                "frequency_cos": highest_cosine(vectors, along, read.clamp_min(0)),
            }
        return self._chances[vectors]

    @cached_property
    def _chances(self) -> dict[int, dict[str, float]]:
        """By number of vectors, what has been found."""
        return {}


def vocab_moments(
    w_in: Float[Tensor, "neuron d_model"],
    w_out: Float[Tensor, "neuron d_model"],
    vocabulary: Vocabulary,
) -> list[tuple[str, str, Columns]]:
    """Side, matrix and moments of the cosine with every token (Gurnee et al. 2024, 4.2.1)."""
    found = []
    for side, vectors in (("in", w_in), ("out", w_out)):
        for matrix, rows in (("embed", vocabulary.embed), ("unembed", vocabulary.unembed)):
            unit = torch.nn.functional.normalize(rows, dim=1).float()
            found.append((side, matrix, _moments(vectors, unit)))
    return found


def vocab_effect(w_out: Float[Tensor, "neuron d_model"], vocabulary: Vocabulary) -> Columns:
    """Table `vocab_effect` of one layer (Stolfo et al. 2024, 3 and 4)."""
    neurons, chances = len(w_out), vocabulary.chances(len(w_out))
    parts: list[dict[str, Tensor]] = []
    for part in w_out.split(AT_ONCE):
        logits = (part @ vocabulary.unembed.T).double()
        centred = logits - logits.mean(dim=1, keepdim=True)
        length = part.norm(dim=1).clamp_min(1e-300)
        along = centred @ vocabulary.frequency / centred.norm(dim=1).clamp_min(1e-300)
        parts.append(
            {
                "logit_var": centred.square().mean(dim=1),
                "null_fraction": (part @ vocabulary.null).norm(dim=1) / length,
                "frequency_cos": along,
            }
        )
    columns: Columns = {
        name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]
    }
    return columns | {
        **{f"{name}_chance": np.full(neurons, each) for name, each in chances.items()},
        "spectrum_gap": np.full(neurons, vocabulary.gap),
    }


def vocab_tokens(
    w_out: Float[Tensor, "neuron d_model"], vocabulary: Vocabulary
) -> list[tuple[str, Columns]]:
    """Direction and the tokens whose logits a layer's neurons raise and lower most."""
    found = []
    for direction, sign in (("promoted", 1), ("suppressed", -1)):
        best = [
            (sign * part @ vocabulary.unembed.T).topk(min(LISTED, len(vocabulary.ids)), dim=1)
            for part in w_out.split(AT_ONCE)
        ]
        place = torch.cat([each.indices for each in best])
        logit = sign * torch.cat([each.values for each in best])
        length = w_out.norm(dim=1)[:, None] * vocabulary.unembed.norm(dim=1)[place]
        neuron, rank = torch.ones_like(place).nonzero(as_tuple=True)
        columns: Columns = {
            "neuron": neuron.int().cpu().numpy(),
            "rank": (rank + 1).int().cpu().numpy(),
            "token_id": vocabulary.ids[place.cpu()].ravel().int().numpy(),
            "logit": logit.ravel().cpu().numpy(),
            "cosine": (logit / length.clamp_min(1e-300)).ravel().cpu().numpy(),
        }
        found.append((direction, columns))
    return found


def logit_effects(
    w_out: Float[Tensor, "neuron d_model"], vocabulary: Vocabulary
) -> tuple[Float[Tensor, "neuron token"], Float[Tensor, "neuron token"]]:
    """Logit per unit of activation, and cosine, of every token for a few neurons."""
    logits = w_out @ vocabulary.unembed.T
    length = torch.outer(w_out.norm(dim=1), vocabulary.unembed.norm(dim=1))
    return logits, logits / length.clamp_min(1e-300)


def _moments(
    vectors: Float[Tensor, "neuron d_model"], unit: Float[Tensor, "token d_model"]
) -> Columns:
    parts: list[Tensor] = []
    for part in vectors.split(AT_ONCE):
        cosines = (torch.nn.functional.normalize(part, dim=1).float() @ unit.T).double()
        mean = cosines.mean(dim=1)
        deviation = cosines - mean[:, None]
        square = deviation.square()
        powers = (square, square * deviation, square.square())
        parts.append(torch.stack([mean, *(power.sum(dim=1) for power in powers)]))
    mean, m2, m3, m4 = torch.cat(parts, dim=1).cpu().numpy()
    n = np.full(len(vectors), len(unit))
    return {"n": n, "mean": mean, "m2": m2, "m3": m3, "m4": m4}
