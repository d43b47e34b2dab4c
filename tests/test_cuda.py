"""On a GPU: the tables of the CPU, but for rounding."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import tiny
import torch
from killed import settings_of, stopped_again_and_again, with_mode
from polars.testing import assert_frame_equal

from neurontab.building import build
from neurontab.config import BuildConfig
from neurontab.measure.bounds import Bounds
from neurontab.measure.candidates import Candidates, Side
from neurontab.measure.finals import Finals, ListedSums
from neurontab.measure.models import LanguageModel
from neurontab.measure.precision import quickest
from neurontab.measure.sources import parse_source
from neurontab.measure.tile import Place
from neurontab.measure.turned import Layout, Turned

# What rounding decides: on which side of an edge a value falls, which of equal contexts is first.
ROUNDED = {
    "activation_histograms": ("n",),
    "feature_groups": ("rank",),
    "vocab_tokens": ("rank",),
    "feature_chance": ("feature", "n_true", "sum_true"),
    "examples": ("sequence", "position", "document", "source", "before", "tokens", "activations"),
}

# Sums of what cancels, and shares of changes that are small: they magnify how it was rounded.
CANCELLED = {"ablations": 1e-3, "ablation_effects": 1e-3}

# Of features that part activations alike, or tokens alike in logit, any may be among the best.
FEATURE = ["model", "layer", "neuron", "offset", "feature"]
RANKED = {
    "feature_groups": FEATURE,
    "explanations": FEATURE,
    "vocab_tokens": ["model", "layer", "neuron", "direction", "token_id"],
}

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def family_on(device: str, folder: Path, mode: str, text: Path) -> BuildConfig:
    """A build on a device in a mode, over some text."""
    return with_mode(settings_of(folder, text), mode).model_copy(update={"device": device})


@pytest.mark.parametrize("mode", ["exact", "sketch"])
def test_a_gpu_gives_the_tables_of_the_cpu(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both in float32: estimates from sketches that are rounded differ by more."""
    monkeypatch.setattr("neurontab.measure.calibration.quickest", lambda device: "float32")
    text = tiny.write_text(tmp_path / "words.txt", tokens=12_000)
    cpu, cuda = (
        build(family_on(device, tmp_path, mode, text), tmp_path / device)
        for device in ("cpu", "cuda")
    )
    assert cuda.manifest.device == "cuda"
    assert cpu.manifest.tables.keys() == cuda.manifest.tables.keys()
    different = {}
    for name in cpu.manifest.tables:
        expected, found = (run.scan(name).collect() for run in (cpu, cuda))
        left_out = ROUNDED.get(name, ())
        if key := RANKED.get(name):
            assert len(expected.join(found, on=key, how="anti")) <= 0.1 * len(expected)
            expected, found = (
                one.join(other, on=key, how="semi").sort(key)
                for one, other in ((expected, found), (found, expected))
            )
        try:
            assert_frame_equal(
                found.drop(left_out),
                expected.drop(left_out),
                rel_tol=1e-4,
                abs_tol=CANCELLED.get(name, 2e-5),
            )
        except AssertionError as error:
            different[name] = str(error)
    assert not different
    before, after = (run.scan("activation_histograms").collect()["n"] for run in (cpu, cuda))
    assert int((before - after).abs().sum()) < 1e-3 * int(before.sum())


@pytest.mark.parametrize("n_pairs", [1, 17, 5_000])
def test_compiled_products_of_listed_pairs_are_the_plain_ones(n_pairs: int) -> None:
    random = torch.Generator().manual_seed(0)
    units, others, device = 70, 90, torch.device("cuda")
    groups = torch.tensor([0] * 300 + [1] * 64 + [0] * 7 + [2] * 129)
    layout = Layout.of([groups])
    values, turned = [], []
    for width in (units, others):
        values.append(torch.randn(len(groups), width, generator=random))
        turned.append(Turned(width, len(groups), 3, device))
        turned[-1].begin(layout)
        turned[-1].add(
            values[-1].to(device),
            torch.arange(len(groups)),
            torch.zeros(width, device=device),
            first_unit=0,
            batch=0,
        )
    pairs = torch.randperm(units * others, generator=random)[:n_pairs].sort().values
    sums = ListedSums(pairs // others, pairs % others, (units, others), 3, device)
    for _ in range(2):
        sums.add_compiled(*turned)
    x, y = (each.double() for each in values)
    for group in range(3):
        every = 2 * x[groups == group].T @ y[groups == group]
        torch.testing.assert_close(
            sums.products[group].cpu(), every.ravel()[pairs], rtol=1e-5, atol=1e-4
        )


def test_by_rounded_sketches_a_gpu_finds_what_all_products_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists overflow, rows are measured whole; the build is stopped and gone on with."""
    for number in range(60):  # documents, by groups of which sums are kept
        tiny.write_text(tmp_path / "words" / f"{number}.txt", tokens=500, seed=number)
    exact, settings = (
        family_on("cuda", tmp_path, mode, tmp_path / "words") for mode in ("exact", "sketch")
    )
    expected = build(exact, tmp_path / "exact")
    monkeypatch.setattr("neurontab.measure.sketch_plan.LISTED", (4, 4))
    monkeypatch.setattr("neurontab.measure.candidates.OVERFLOWN", 1)
    whole, longer = [], []
    add_dense, read_rows = Finals.add_dense, Candidates.read_rows

    def added(finals: Finals, turned: Mapping[str, Turned]) -> None:
        whole.append(len(finals.dense))
        add_dense(finals, turned)

    def read(candidates: Candidates, place: Place, side: Side, other: Place, of: Bounds) -> None:
        longer.append(len(of.corr))
        read_rows(candidates, place, side, other, of)

    monkeypatch.setattr(Finals, "add_dense", added)
    monkeypatch.setattr(Candidates, "read_rows", read)
    found = stopped_again_and_again(settings, tmp_path / "run")
    assert max(longer) > 0
    assert max(whole) > 0
    for table in ("matches", "antimatches", "twins"):
        names = ["other_layer", "other_neuron"]
        one, other = (run.scan(table).select(names).collect() for run in (expected, found))
        assert one.equals(other), table
    likeness = [run.scan("layer_similarity").collect()["cka"] for run in (expected, found)]
    assert likeness[0].to_numpy() == pytest.approx(likeness[1].to_numpy(), abs=0.05)
    said = found.manifest.matched
    assert said is not None
    assert said.sketch_precision == quickest(torch.device("cuda"))


def test_on_a_gpu_activations_follow_from_what_mlps_read(tmp_path: Path) -> None:
    made = LanguageModel(
        parse_source(str(tiny.save(tiny.model(0), tmp_path / "m"))), torch.device("cuda")
    )
    tokens = torch.randint(2, 60, (2, 20))
    attended: list[int] = []
    made.bridge.blocks[0].attn.register_forward_hook(lambda *_: attended.append(1))

    def activations() -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        made.run(tokens, lambda layer, pre, post: found.extend((pre.clone(), post.clone())))
        return found

    made.keep_inputs(2, 20)
    first, again = activations(), activations()
    assert len(attended) == 1
    torch.testing.assert_close(again, first)


def test_products_of_bfloat16_are_near(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, tiny.write_text(tmp_path / "words.txt", tokens=12_000))
    matching = settings.matching.model_copy(update={"products": "bfloat16"})
    run = build(
        settings.model_copy(update={"matching": matching, "device": "cuda"}), tmp_path / "run"
    )
    about = run.manifest.matched
    assert about is not None
    assert about.rounding_error is not None
    assert 1e-5 < about.rounding_error < 2**-8
