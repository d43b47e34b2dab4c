"""`python -m neurontab.suite.card`: writes the suite's README from what training recorded."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neurontab.suite import FOLDER, models
from neurontab.suite.recipe import RECIPE

TEXT = """\
# The embedded suite

Five models that differ in nothing but their random seed: initial weights and order of text. Small
enough to ship and to run on a laptop, trained for long enough that their neurons mean something.
They are for trying neurontab and for its tests. What they show holds for small models of code after
a short training; nothing about larger models follows from it.

## Text

The sources of Python 3.11.7's standard library with its tests, and the manual pages of `pydoc`;
ASCII files, each cut at 40,000 characters. A document is held out by the hash of its path.
Licence: PSF-2.0 (`PSF-LICENSE.txt`), copyright 2001-2023 Python Software Foundation.

{text}

`corpus/held_out.parquet` holds the held-out documents with a `source` of library, tests or manual.

## Models

GPT2LMHeadModel, float16 safetensors, to be loaded as float32. Byte-level BPE, tied embeddings, no
dropout. Position 0 of every training sequence is `<|endoftext|>`; documents lie end to end.

{recipe}

Loss on 256 held-out sequences, nats a token:

{losses}

## Made by

    python -m neurontab.suite.prepare
    python -m neurontab.suite.train --seed 0    # to 4; about four minutes of one core each
    python -m neurontab.suite.card
"""


def card() -> str:
    """The card as Markdown."""
    text = json.loads((FOLDER / "text.json").read_text("utf-8"))
    training = {f.name: json.loads((f / "training.json").read_text("utf-8")) for f in models()}
    return TEXT.format(
        text=_table(
            ["part", "documents", "sha256 of paths and texts"],
            [[part, f"{of['documents']:,}", of["sha256"]] for part, of in text.items()],
        ),
        recipe=_table(["setting", "value"], [[k, v] for k, v in asdict(RECIPE).items()]),
        losses=_losses(training),
    )


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
