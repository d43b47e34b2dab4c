"""The table of ablations against a model that is run again with its neurons held."""

from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
import torch
from torch import Tensor

from neurontab.building import build
from neurontab.config import BuildConfig, resolve
from neurontab.measure.ablation import QUANTITIES, Ablation, Frequency, Held
from neurontab.measure.corpus import Corpus
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.models import LanguageModel
from neurontab.prepare import Prepared, prepare
from neurontab.progress import Silent
from neurontab.run import Run


@pytest.fixture
def settings(tmp_path: Path) -> BuildConfig:
    """A zoo, over so little text that all of it can be run again; some words are masked."""
    source = planted.save(planted.zoo(0), tmp_path / "zoo")
    text = planted.write_text(tmp_path / "text.jsonl", documents=10, tokens=80)
    return resolve(models=[str(source)], corpus=[str(text)], tokens="all", batch_tokens=200)


def test_sums_are_of_every_document_group_as_running_the_model_again_says(
    settings: BuildConfig, tmp_path: Path
) -> None:
    everywhere = settings.model_copy(update={"ablations": 10**6})
    run = build(everywhere, tmp_path / "run")
    table = run.scan("ablations").collect()
    assert len(table) > 20 * 10
    prepared = prepare(settings, Silent())
    model, corpus = prepared.models[0], prepared.corpus
    tokens = corpus.batch(0, len(corpus.tokens))
    counted = corpus.counted(tokens)
    there = counted[:, :-1] & counted[:, 1:]
    group = DocumentGroups.of(corpus).group_of[torch.from_numpy(corpus.document[:, :-1]).long()]
    before = _loss(model, tokens)
    for neuron in sorted(set(table["neuron"]))[:6]:
        change = _loss(model, tokens, (neuron, _mean(run, neuron))) - before
        for row in table.filter(neuron=neuron).rows(named=True):
            here = there & (group == row["document_group"])
            assert row["n"] == here.sum()
            assert row["loss"] == pytest.approx(change[here].sum().item(), abs=2e-4)
            assert row["loss_abs"] == pytest.approx(change[here].abs().sum().item(), abs=2e-4)
    rows = table.group_by("neuron").agg(n=table["n"].sum())
    assert len(rows) == table["neuron"].n_unique()


def _mean(run: Run, neuron: int) -> float:
    where = {"site": "post", "layer": 1, "neuron": neuron}
    return float(run.scan("activation_moments").filter(**where).collect()["mean"].item())


def _loss(model: LanguageModel, tokens: Tensor, held: tuple[int, float] | None = None) -> Tensor:
    """Of the next token at every position but the last, with a neuron of the last layer held."""

    def hold(values: Tensor, hook: Any) -> Tensor:
        if held:
            values = values.clone()
            values[..., held[0]] = held[1]
        return values

    last = f"blocks.{model.facts.n_layers - 1}.mlp.hook_post"
    with torch.no_grad():
        logits: Tensor = model.bridge.run_with_hooks(tokens, fwd_hooks=[(last, hold)])
    logs = logits.double().log_softmax(dim=2)
    return -logs[:, :-1].gather(2, tokens[:, 1:, None])[:, :, 0]


def ablated(prepared: Prepared, positions: int, batch_tokens: int) -> dict[str, np.ndarray]:
    """Sums by group, of one neuron."""
    model = prepared.models[0]
    readout, ids = model.readout(), torch.arange(2, 200)
    direction = torch.nn.functional.normalize(torch.arange(198.0) - 98.5, dim=0).double()
    counts = torch.ones(model.facts.d_vocab, dtype=torch.int64)
    ablation = Ablation.of(
        model,
        readout,
        prepared.corpus,
        Held.of(torch.tensor([3]), torch.zeros(128), model.weights(1).w_out, readout),
        Frequency.of(ids, direction, counts, model.device),
        positions=positions,
        seed=0,
    )
    sums, sequences = ablation.sums(), ablation.sequences
    halves = range(len(sequences) // 2), range(len(sequences) // 2, sequences.stop)
    for part in halves:
        steps = ablation.add(
            sums, batch_tokens=batch_tokens, sequences=part, advance=lambda tokens: None
        )
        assert list(steps)[-1] == part.stop
    return {"n": sums.n.numpy(), "sums": sums.sums.numpy()}


def test_so_many_positions_are_drawn_whatever_the_batches(settings: BuildConfig) -> None:
    prepared = prepare(settings, Silent())
    one, other = (ablated(prepared, 100, batch_tokens) for batch_tokens in (50, 5_000))
    assert one["n"].sum() == 100
    assert (one["n"] == other["n"]).all()
    assert one["sums"] == pytest.approx(other["sums"], rel=1e-4, abs=1e-5)
    assert one["sums"].shape == (1, len(one["n"]), len(QUANTITIES))
    every = ablated(prepared, 10**6, 5_000)
    assert (every["n"] >= one["n"]).all()
    assert every["n"].sum() == valid(prepared.corpus)


def valid(corpus: Corpus) -> int:
    """Positions that count and are followed by one that does."""
    counted = corpus.counted(corpus.batch(0, len(corpus.tokens)))
    return int((counted[:, :-1] & counted[:, 1:]).sum())
