"""A neuron's card on a terminal."""

import polars as pl
from rich.text import Text

from neurontab.printable import printable
from neurontab.show.card import Card, Context
from neurontab.show.headlines import headlines, written
from neurontab.show.shades import shade

from .render import Output, print_table

PROPERTIES = (  # of the many, those that the paper's figures are of
    *("sparsity", "mean", "var", "skew", "kurt", "bos_z", "position_mi", "source_eta2"),
    *("input_bias", "w_in_norm", "w_out_norm", "in_out_sim", "l2_penalty"),
    *("vocab_var", "vocab_skew", "vocab_kurt"),
)


def print_card(card: Card) -> None:
    """The card on stdout."""
    console = Output()
    console.print(Text(printable(str(card.neuron)), style="bold"))
    for line in headlines(card):
        console.print(Text(_one_line(line)))
    short = card.properties.filter(pl.col("property").is_in(PROPERTIES))
    for title, frame in (
        ("Families", card.families.select("family", "measure", "feature", "value", "threshold")),
        ("Explained variance", card.features),
        ("Best matches", card.matches),
        ("Twins", card.twins),
        ("Properties, and percentile in the layer", short),
        ("Heads", card.heads),
        ("Neighbours", card.neighbours),
    ):
        if len(frame):
            console.print()
            console.print(Text(title, style="bold"))
            if hidden := print_table(console, frame, _cell):
                console.print(Text(f"too wide to show: {', '.join(hidden)}", style="dim"))
    for direction, texts in card.tokens.items():
        console.print()
        console.print(Text(direction.capitalize(), style="bold"))
        console.print(Text("  ".join(_quoted(text) for text in texts)))
    for number, context in enumerate(card.contexts):
        if not number or card.contexts[number - 1].side != context.side:
            console.print()
            console.print(Text(f"Contexts: {context.side}", style="bold"))
        console.print(_context(context, card.strongest))


def _cell(value: object) -> str:
    return _one_line(written(value))


def _quoted(text: str) -> str:
    return f"'{_one_line(text)}'"


def _one_line(text: str) -> str:
    return printable(text.replace("\n", "↵"))


def _context(context: Context, strongest: float) -> Text:
    """Tokens shaded by activation; the one that it is shown for between « and »."""
    line = Text(f"{context.value:8.3f} {printable(context.source)}  ")
    for place, token in enumerate(context.tokens):
        text = _one_line(token.text)
        shown = f"«{text}»" if place == context.place else text
        colour = shade(token.activation, strongest)
        line.append(shown, style=f"black on {colour}" if colour else "")
    return line
