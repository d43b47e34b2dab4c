"""What a neuron is in a few lines: labels with their evidence, excess with its interval."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurontab.show.card import Card


def written(value: object) -> str:
    """A value of a table as text: six digits of a number, `-` for null."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def headlines(card: "Card") -> list[str]:
    """What it is, in a few lines: labels with their evidence, excess with its interval."""
    facts = card.facts
    lines = [_label("family", facts), _label("role", facts)]
    excess = facts["excess_corr"]
    if excess is None:
        lines.append("not matched")
    else:
        universal = "universal" if facts["is_universal"] else "not universal"
        interval = f" ({_short(facts['excess_lo'])} to {_short(facts['excess_hi'])})"
        lines.append(
            f"{universal}: correlation {_short(facts['mean_corr'])}, excess {_short(excess)}"
            f"{interval}, share of covariance between tokens {_short(facts['token_share'])}"
        )
    if card.effects:
        lines.append(
            f"held at its mean: entropy {_with_error(card, 'entropy_change')} nats, loss "
            f"{_with_error(card, 'loss_change')} nats; through the norm "
            f"{_with_error(card, 'norm_share')}, along frequency "
            f"{_with_error(card, 'frequency_share')}"
        )
    return lines


def _with_error(card: "Card", name: str) -> str:
    return f"{_short(card.effects[name])} ± {_short(card.effects[f'{name}_se'])}"


def _label(kind: str, facts: dict[str, object]) -> str:
    """`family unigram: explained_held_out 0.67, above 0.5, of unigram_the`."""
    said = f"{kind} {facts[kind]}"
    value, least = facts[f"{kind}_value"], facts[f"{kind}_threshold"]
    if not (isinstance(value, float) and isinstance(least, float)):
        return said
    compared = f"above {_short(least)}" if value > least else f"below {_short(-least)}"
    of = facts.get(f"{kind}_feature")
    return f"{said}: {facts[f'{kind}_by']} {_short(value)}, {compared}{f', of {of}' if of else ''}"


def _short(value: object) -> str:
    """Three digits of a number."""
    return f"{value:.3g}" if isinstance(value, float) else written(value)
