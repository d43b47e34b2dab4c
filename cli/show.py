"""`neurontab show`: one neuron's card, on the terminal or as a page."""

from pathlib import Path
from typing import Annotated

import typer

from neurontab.errors import ConfigError, QueryError
from neurontab.printable import printable

from .options import Force, RunFolder, refuse_existing


def show(
    model: Annotated[str, typer.Argument(help="Model of the run; may be left out of one model.")],
    neuron: Annotated[str | None, typer.Argument(help="11.3030, L11N3030 or L11.N3030.")] = None,
    run: RunFolder = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write a page: card.html.")
    ] = None,
    force: Force = False,
) -> None:
    """Show everything that is known of one neuron."""
    import neurontab

    opened = neurontab.open(run)
    names = [str(each["model"]) for each in opened.manifest.models]
    if neuron is None:
        if len(names) > 1:
            raise QueryError(
                f"Which neuron of which model?\nneurontab show MODEL {model}; there are "
                f"{', '.join(names)}."
            )
        model, neuron = names[0], model
    if output is not None and output.suffix.lower() != ".html":
        raise ConfigError(f"{output} must end in .html.")
    refuse_existing(output, force=force)
    found = opened.card(model, neuron)
    if output is not None:
        from neurontab.files import write_text
        from neurontab.show.card_page import page

        write_text(output, page(found))
        typer.echo(printable(str(output)))
        return
    from .card import print_card

    print_card(found)
