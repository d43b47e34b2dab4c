"""Everything that a run's tables say of one neuron."""

import re
from collections.abc import Callable, Collection
from html import escape

import polars as pl

from neurontab.errors import QueryError, nearest
from neurontab.show.card import Card, Context, Neuron, Token
from neurontab.show.card_page import page
from neurontab.tables.student import quantile
from neurontab.tables.table import Column

Scan = Callable[[str], pl.LazyFrame]
NAME = re.compile(r"[Ll]?(\d+)(?:\.[Nn]?|[Nn])(\d+)")
SHOWN = 3  # contexts of a side
BEST = 3  # features of an offset
SIDES = ("top", "bottom", "sample")
OTHER = pl.format("L{}.N{}", "other_layer", "other_neuron").alias("other_neuron")


def card(scan: Scan, columns: Collection[Column], model: str, name: str) -> "NotebookCard":
    """The card of a neuron; `columns` are those of `neurons`, which has what is shown of it.

    Raises QueryError with what there is when there is no such neuron.
    """
    which = find(scan("models"), model, name)
    here = pl.col("layer") == which.layer, pl.col("neuron") == which.neuron

    def rows(table: str) -> pl.DataFrame:
        return scan(table).filter(pl.col("model") == which.model, *here).collect()

    texts = scan("vocabulary").select("token_id", "text")
    layer = scan("neurons").filter(pl.col("model") == which.model, pl.col("layer") == which.layer)
    every = layer.collect()
    facts = every.row(by_predicate=here[1], named=True)
    effects = rows("ablation_effects")
    return NotebookCard(
        which,
        facts,
        _properties(every, facts, columns),
        rows("family_evidence"),
        _features(rows("explanations")),
        effects.row(0, named=True) if len(effects) else {},
        _matches(rows("matches"), scan("document_groups")),
        rows("twins").select("rank", OTHER, "corr"),
        _tokens(rows("vocab_tokens").lazy(), texts),
        _neighbours(rows("neighbours")),
        _heads(rows("head_scores")),
        _contexts(rows("examples"), texts),
    )


class NotebookCard(Card):
    """A card that a notebook shows as its page."""

    def _repr_html_(self) -> str:
        """For notebooks: the page, within a frame of its own."""
        return (
            f'<iframe srcdoc="{escape(page(self))}" sandbox style="width:100%;height:700px;'
            'border:0"></iframe>'
        )


def find(models: pl.LazyFrame, model: str, name: str) -> Neuron:
    """A neuron by its model and `11.3030`, `L11N3030` or `L11.N3030`.

    Raises QueryError with the nearest model, or the layers and neurons that there are.
    """
    known = models.select("model", "n_layers", "d_mlp").collect()
    names = known["model"].to_list()
    if model not in names:
        raise QueryError(
            f"No model {model!r}; there are {', '.join(names)}.{nearest(model, names)}"
        )
    layers, neurons = known.row(by_predicate=pl.col("model") == model)[1:]
    found = NAME.fullmatch(name)
    if not found:
        raise QueryError(f"{name!r} is no neuron.\nWrite it as 11.3030, L11N3030 or L11.N3030.")
    layer, neuron = map(int, found.groups())
    if layer >= layers or neuron >= neurons:
        raise QueryError(
            f"{model} has no neuron {layer}.{neuron}: layers are 0 to {layers - 1}, neurons 0 to "
            f"{neurons - 1}."
        )
    return Neuron(model, layer, neuron)


def _properties(
    layer: pl.DataFrame, facts: dict[str, object], columns: Collection[Column]
) -> pl.DataFrame:
    """Every number that is known, and the share of the layer in which it is at most as high."""
    rows = []
    for column in columns:
        value = facts[column.name]
        if not column.dtype.is_float() or not isinstance(value, float):
            continue
        others = layer[column.name].drop_nulls()
        share = float((others <= value).mean())  # type: ignore[arg-type]
        rows.append((column.name, value, 100 * share, column.unit))
    found = pl.DataFrame(rows, ["property", "value", "percentile", "unit"], orient="row")
    return found.with_columns(pl.col("percentile").round(1))


def _features(explanations: pl.DataFrame) -> pl.DataFrame:
    """The features that explain most at each offset."""
    shown = ["offset", "feature", "explained", "explained_held_out", "explained_chance", "ceiling"]
    order = pl.Enum(["current", "previous", "next"])
    return (
        explanations.sort("explained", descending=True)
        .group_by("offset", maintain_order=True)
        .head(BEST)
        .sort(pl.col("offset").cast(order), pl.col("explained"), descending=[False, True])
        .select(shown)
    )


def _matches(matches: pl.DataFrame, document_groups: pl.LazyFrame) -> pl.DataFrame:
    """The best match in every other model, with the interval of 95 % over documents."""
    groups = document_groups.filter(pl.col("n") > 0).collect().height
    far = quantile(pl.lit(groups - 1.0)) * pl.col("corr_se")
    shown = ("corr", "corr_lo", "corr_hi", "token_share", "certificate", "sign", "reverse_rank")
    return (
        matches.filter(rank=1)
        .sort("other_model")
        .with_columns(
            corr_lo=(pl.col("corr") - far).clip(-1, 1), corr_hi=(pl.col("corr") + far).clip(-1, 1)
        )
        .select("other_model", OTHER, *shown)
    )


def _tokens(vocab_tokens: pl.LazyFrame, texts: pl.LazyFrame) -> dict[str, list[str]]:
    """The texts of the tokens that are promoted and suppressed most, the strongest first."""
    found = vocab_tokens.join(texts, on="token_id").sort("direction", "rank").collect()
    return {
        str(direction): each["text"].to_list()
        for (direction,), each in found.group_by("direction", maintain_order=True)
    }


def _neighbours(neighbours: pl.DataFrame) -> pl.DataFrame:
    """The most and the least aligned vector of each relation."""
    nearest_ones = neighbours.filter(rank=1).sort("relation", "side", descending=[False, True])
    return nearest_ones.select("relation", OTHER, "cosine")


def _heads(heads: pl.DataFrame) -> pl.DataFrame:
    """The head whose attention to BOS it moves most, and those with which it composes most."""
    comps = ["q_comp", "k_comp", "v_comp", "o_comp"]
    shown = ["head_layer", "head", "bos_score", "bos_score_chance", *comps]
    moved = (pl.col("bos_score") / pl.col("bos_score_chance")).abs()
    most = heads.filter(moved.is_not_null() & (moved == moved.max())).head(1)
    rest = heads.sort(pl.max_horizontal(comps), descending=True).head(SHOWN)
    both = pl.concat([most, rest]).select(shown)
    return both.unique(["head_layer", "head"], keep="first", maintain_order=True)


def _contexts(examples: pl.DataFrame, texts: pl.LazyFrame) -> list[Context]:
    """The first contexts of each side, token by token."""
    chosen = examples.filter(pl.col("rank") <= SHOWN)
    ids = chosen["tokens"].explode(empty_as_null=False).unique().implode()
    known = dict(texts.filter(pl.col("token_id").is_in(ids)).collect().iter_rows())
    found = [
        Context(
            row["side"],
            row["rank"],
            row["value"],
            row["source"],
            [
                Token(known.get(token, ""), value)
                for token, value in zip(row["tokens"], row["activations"], strict=True)
            ],
            row["before"],
        )
        for row in chosen.iter_rows(named=True)
    ]
    return sorted(found, key=lambda each: (SIDES.index(each.side), each.rank))
