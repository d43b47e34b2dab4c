"""`python -m neurontab.suite.card`: writes the suite's README from what was recorded."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neurontab.suite import FOLDER, models
from neurontab.suite.archives import archives
from neurontab.suite.recipe import RECIPE

EVIDENCE = FOLDER / "evidence.json"
TEXT = """\
# The embedded suite

Five models that differ in nothing but their random seed: initial weights and order of text. Small
enough to ship and to run on a laptop, trained for long enough that their neurons mean something.
They are for trying neurontab and for its tests.

## What they show

Universal: a mean excess above 0.5 over the other four models, the paper's rule. Groups: universal
neurons of one model that are twins above 0.7, taken together; a group that is *not just a token*
has a median `token_share` below 0.5. Features are such groups across all five models. The untrained
twin: five models of the same recipe that took no step.

{evidence}

Printed by `python tests/benchmarks/suite.py`, over the tokens that a build takes by default. Over
more of them correlations are a little lower, and fewer neurons pass.

The paper found 1 to 5 % of GPT-2's neurons universal. Here there are more.

## What one cannot conclude

- Nothing about large models: these have {parameters:.2f} million parameters and read {tokens:.1f}
  million tokens, {epochs:.0f} times the same text. What is universal here is mostly what a small
  model learns first: frequent tokens, and which language or format it is reading.
- Not that a share of universal neurons is a property of the architecture: dropout, input biases
  that begin at {bias} and a small weight decay were chosen because they show the phenomenon. A
  suite before this one, without dropout and after a seventh of the tokens, had 0.7 to 1.3 %. The
  rule and its threshold were not chosen.
- Seeds share text and tokenizer. What they have in common is common under these.
- All five were trained by one recipe: five seeds are five draws of it.

## Text

{n_archives} releases of Debian 12, named with their digests in `archives.toml`; what those in the
held-out corpus say of copyright and licence stands in `licences/`. Whole projects are held out; for
manual pages a page in all its languages, for prose whole novels. A document is at most 6,000
characters from the middle of a file; documents that share more than half of their longer lines with
an earlier one are left out.

{text}

`corpus/held_out.parquet` holds the held-out documents: path, source, text.

| source | training | held out | what |
| --- | --- | --- | --- |
{sources}

## Models

GPT2LMHeadModel, float16 safetensors, to be loaded as float32. Byte-level BPE whose alphabet are the
bytes of the training text, tied embeddings, GPT-2's dropout except in attention. Position 0 of
every training sequence is `<|endoftext|>`; documents lie end to end. AdamW, with Muon for the
matrices of attention. All five at once took {minutes} minutes on one {device}.

{recipe}

Loss on 128 held-out sequences, nats a token:

{losses}

## Made by

    python -m neurontab.suite.archives FOLDER      # fetches the releases; Debian 12
    python -m neurontab.suite.prepare FOLDER       # five minutes
    python -m neurontab.suite.train FOLDER --seed 0    # to 4, at once on a GPU
    python tests/benchmarks/suite.py --write
    python -m neurontab.suite.card
"""
WHAT = {
    "python": "Python modules",
    "c": "C and C++",
    "javascript": "JavaScript and TypeScript",
    "ruby": "Ruby",
    "documentation": "English documentation of software",
    "manual": "manual pages in German, French, Spanish, Italian, Portuguese, Dutch and Swedish",
    "prose": "Jane Austen's novels",
}
SHOWN = {
    "tokens": "tokens",
    "universal": "universal neurons",
    "universal_share": "share of all",
    "layers": "layers with some",
    "groups": "groups",
    "groups_not_token": "groups that are not just a token",
    "with_twin": "neurons with a twin above 0.7",
    "mean_excess": "mean excess",
    "max_excess": "highest excess",
    "features": "features",
    "features_in_all": "features in all five",
    "features_not_token": "features that are not just a token",
}


def card() -> str:
    """The card as Markdown."""
    text = _facts("text.json")
    training = {f.name: json.loads((f / "training.json").read_text("utf-8")) for f in models()}
    minutes = max(facts["minutes"] for facts in training.values())
    epochs = RECIPE.steps * RECIPE.batch / min(f["training_sequences"] for f in training.values())
    return TEXT.format(
        evidence=_evidence(_facts(EVIDENCE.name)),
        parameters=_parameters() / 1e6,
        tokens=RECIPE.steps * RECIPE.batch * RECIPE.n_ctx / 1e6,
        epochs=epochs,
        bias=RECIPE.input_bias,
        n_archives=len(archives()),
        text=_table(
            ["part", "documents", "sha256 of paths and texts"],
            [[part, f"{of['documents']:,}", of["sha256"]] for part, of in text.items()],
        ),
        sources="\n".join(
            f"| {name} | {text['training']['by_source'][name]:,} | "
            f"{text['held_out']['by_source'][name]:,} | {what} |"
            for name, what in WHAT.items()
        ),
        recipe=_table(["setting", "value"], [[k, v] for k, v in asdict(RECIPE).items()]),
        losses=_losses(training),
        minutes=f"{minutes:.0f}",
        device=" or ".join(sorted({facts["device"] for facts in training.values()})),
    )


def _facts(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text("utf-8"))
    return found


def _evidence(figures: dict[str, Any]) -> str:
    runs = {"default": "trained", "untrained": "untrained twin"}
    rows = [
        [shown, *(_listed(figures[f"{run}_{name}"]) for run in runs)]
        for name, shown in SHOWN.items()
    ]
    return _table(["by seed, or of the family", *runs.values()], rows)


def _listed(figure: Any) -> str:
    if isinstance(figure, list):
        return ", ".join(map(_listed, figure))
    return f"{figure:,}"


def _parameters() -> int:
    r = RECIPE
    layer = 4 * r.d_model * (r.d_model + 1) + 2 * r.d_model * r.d_mlp + r.d_mlp + 5 * r.d_model
    return (r.d_vocab + r.n_ctx + 2) * r.d_model + r.n_layers * layer


def _losses(training: dict[str, dict[str, Any]]) -> str:
    curves = {name: facts["held_out_loss"] for name, facts in training.items()}
    steps = [point["step"] for point in next(iter(curves.values()))]
    rows = [
        [f"{step:,}", *(f"{curve[place]['loss']:.3f}" for curve in curves.values())]
        for place, step in enumerate(steps)
    ]
    return _table(["step", *curves], rows)


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def write(path: Path = FOLDER / "README.md") -> None:
    """Writes the card beside the models."""
    path.write_text(card(), "utf-8")


if __name__ == "__main__":
    write()
