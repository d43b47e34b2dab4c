"""`neurontab label`: the text of a run labelled by a spaCy pipeline, for another build."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import Force, RunFolder, need_extra, refuse_existing


def label(
    pipeline: Annotated[str, typer.Argument(help="A spaCy pipeline, such as en_core_web_sm.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File of labels: .parquet or .arrow.")
    ] = Path("labels.parquet"),
    run: RunFolder = None,
    force: Force = False,
) -> None:
    """Label the text of a run, to build it again with --labels."""
    need_extra("spacy", "Labelling", "numpy", "spacy")
    import neurontab
    from neurontab.files import write_whole
    from neurontab.labelling import label as label_text
    from neurontab.labelling import load_pipeline

    from .progress import shown_on

    refuse_existing(output, force=force)
    opened = neurontab.open(run)
    with shown_on(sys.stderr) as progress:
        found = label_text(opened, load_pipeline(pipeline), progress)
    write_whole(output, found.write_ipc if output.suffix == ".arrow" else found.write_parquet)
    typer.echo(f"{output}: {len(found):,} tokens, {len(found.columns) - 3} kinds of label.")
