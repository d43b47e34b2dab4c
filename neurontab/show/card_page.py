"""A neuron's card as one page that needs nothing else: no script, no network."""

from collections.abc import Iterable, Iterator
from html import escape as escape_html
from typing import TYPE_CHECKING

import polars as pl

from neurontab.printable import printable
from neurontab.show.headlines import headlines, written
from neurontab.show.shades import shade

if TYPE_CHECKING:
    from neurontab.show.card import Card, Context

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #111; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .12rem .8rem .12rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid #999; } td.number, th.number { text-align: right; }
.columns { display: flex; flex-wrap: wrap; gap: 0 3rem; }
.context { white-space: pre-wrap; overflow-wrap: anywhere; font: 13px ui-monospace, monospace;
           border-left: 3px solid #ddd; padding-left: .6rem; margin: .5rem 0; }
.context b { outline: 1.5px solid #111; } .about { color: #555; font: 13px system-ui, sans-serif; }
"""
TITLES = {
    "families": "Families",
    "features": "Explained variance",
    "matches": "Best matches",
    "twins": "Twins in the same model",
    "heads": "Heads it composes with most",
    "neighbours": "Vectors most and least aligned",
    "properties": "Properties, and percentile in the layer",
}


def page(card: "Card") -> str:
    """The page; every text of the run is escaped."""
    title = safe(str(card.neuron))
    parts = [
        f"<h1>{title}</h1>",
        *(f"<div>{safe(line)}</div>" for line in headlines(card)),
        *_contexts(card),
        '<div class="columns">',
        *(
            f"<section><h2>{heading}</h2>{_table(frame)}</section>"
            for name, heading in TITLES.items()
            if len(frame := getattr(card, name))
        ),
        *(
            f"<section><h2>{safe(direction.capitalize())} tokens</h2>{_texts(texts)}</section>"
            for direction, texts in card.tokens.items()
        ),
        "</div>",
    ]
    body = "\n".join(parts)
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def safe(text: str) -> str:
    """Text that is shown as it is and does nothing, whoever wrote it."""
    return escape_html(printable(text))


def _table(frame: pl.DataFrame) -> str:
    names = [name for name in frame.columns if name not in ("model", "layer", "neuron")]
    shown = frame.select(names)
    numbers = [' class="number"' if each.is_numeric() else "" for each in shown.schema.values()]
    head = _cells("th", numbers, names)
    rows = (_cells("td", numbers, map(_cell, row)) for row in shown.iter_rows())
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _cells(tag: str, kinds: Iterable[str], values: Iterable[str]) -> str:
    pairs = zip(kinds, values, strict=True)
    return "".join(f"<{tag}{kind}>{safe(value)}</{tag}>" for kind, value in pairs)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else written(value)


def _texts(texts: Iterable[str]) -> str:
    return "".join(f'<div class="context">{_token(text)}</div>' for text in texts)


def _token(text: str) -> str:
    """With signs for line ends, which are also broken."""
    return safe(text).replace("\n", "↵\n")


def _contexts(card: "Card") -> Iterator[str]:
    """Tokens shaded by activation, side by side."""
    side = ""
    for context in card.contexts:
        if context.side != side:
            side = context.side
            yield f"<h2>Contexts: {safe(side)}</h2>"
        spans = (_span(context, place, card.strongest) for place in range(len(context.tokens)))
        about = f'<span class="about">{context.value:.3f}  {safe(context.source)}</span>'
        yield f'<div class="context">{about}\n{"".join(spans)}</div>'


def _span(context: "Context", place: int, strongest: float) -> str:
    token = context.tokens[place]
    colour = shade(token.activation, strongest)
    style = f' style="background:{colour}"' if colour else ""
    text = _token(token.text)
    shown = f"<b>{text}</b>" if place == context.place else text
    return f'<span title="{token.activation:.3f}"{style}>{shown}</span>'
