"""Which tokens have which property of their text: spelling, signs, words, and what they are.

A feature is true of the tokens it has rows for. Rules are on the decoded text, `stripped` of white
space or not; those with names of the paper's code are defined as there, but where its code and the
name disagree the plain name is what it says and the code's rule stands beside it (`any_symbolic`,
`is_at_most_31`). Special tokens have no features, tokens of broken bytes only `broken_bytes`.
"""

import polars as pl

from neurontab.tables import words
from neurontab.tables.schemas import PAPER, TOKEN
from neurontab.tables.table import Column, one_of

VERSION = 1
SOURCE = f"{PAPER}, vocab_df.py"
RULE, UNIGRAM, LETTER = "rule", "unigram", "letter"
# What is measured is by these, so no build may have other ones.
UNIGRAM_SHARE = (
    3e-4  # of all tokens that a unigram has at least: 3,000 of 10 million in vocab_df.py
)
SPELLINGS = 4  # tokens of a unigram, at least; vocab_df.py
KEYS = (Column("feature", pl.String, "Name of the feature."), TOKEN)
COLUMNS = (
    Column(
        "kind",
        pl.String,
        "rule on the text, unigram (one word in all its spellings) or letter of the alphabet.",
        check=one_of(RULE, UNIGRAM, LETTER),
    ),
)

text, stripped, lower = pl.col("text"), pl.col("stripped"), pl.col("lower")
value = pl.when(stripped.str.contains(r"^[0-9]{1,9}$")).then(stripped).cast(pl.Int64)


def _any(*signs: str) -> pl.Expr:
    return pl.any_horizontal(*(text.str.contains(sign, literal=True) for sign in signs))


RULES: dict[str, pl.Expr] = {
    "all_white_space": stripped == "",
    "all_caps": stripped.str.contains(r"^[^\p{Ll}\p{Lt}]*\p{Lu}[^\p{Ll}\p{Lt}]*$")
    & (stripped.str.len_chars() > 1),
    "all_lower": stripped.str.contains(r"^[^\p{Lu}\p{Lt}]*\p{Ll}[^\p{Lu}\p{Lt}]*$"),
    "all_alpha": stripped.str.contains(r"^\p{L}+$"),
    "all_numeric": stripped.str.contains(r"^\p{Nd}+$"),
    "all_symbolic": stripped.str.contains(r"^[^\p{L}\p{N}]+$"),
    "any_symbolic": stripped.str.contains(r"[^\p{L}\p{N}]"),
    **{f"contains_{name}": _any(sign) for name, sign in words.SIGNS.items()},
    "closing_punc": _any(*")]}>"),
    "opening_punc": _any(*"([{<"),
    "math_symbol": _any(*"+-*/=<>"),
    "currency": _any(*"$€£¥"),
    "contains_digit": text.str.contains(r"\p{Nd}"),
    "is_number_word": stripped.is_in(words.NUMBERS.split()),
    "is_year": value.is_between(1490, 2200, closed="none"),
    "is_one_digit": stripped.str.contains(r"^\p{Nd}$"),
    "is_two_digit": stripped.str.contains(r"^\p{Nd}{2}$"),
    "is_three_digit": stripped.str.contains(r"^\p{Nd}{3}$"),
    "is_four_digit": stripped.str.contains(r"^\p{Nd}{4}$"),
    "is_lt_31": value < 31,
    "is_at_most_31": value <= 31,
    **{f"is_{name}_pronoun": lower.is_in(each.split()) for name, each in words.PRONOUNS.items()},
    "starts_w_vowel": stripped.str.contains(r"^[aeiouAEIOU]\p{L}*$"),
    "starts_w_consonant": stripped.str.contains(r"^[\p{L}--aeiouAEIOU]\p{L}*$"),
    "start_w_no_space": text.str.contains(r"^[^ ]"),
    "start_w_no_space_and_letter": text.str.contains(r"^\p{L}"),
    "start_w_no_space_and_digit": text.str.contains(r"^\p{Nd}"),
    "starts_w_digit": stripped.str.contains(r"^\p{Nd}"),
    "starts_w_space": text.str.starts_with(" "),
    "start_w_space_and_letter": text.str.contains(r"^ \p{L}"),
    "starts_w_cap": stripped.str.contains(r"^\p{Lu}"),
    "starts_w_no_space_and_cap": text.str.contains(r"^\p{Lu}"),
    "starts_w_no_space_and_lower": text.str.contains(r"^\p{Ll}"),
    **{f"end_w_{suffix}": lower.str.ends_with(suffix) for suffix in words.SUFFIXES.split()},
    **{f"start_w_{prefix}": lower.str.starts_with(prefix) for prefix in words.PREFIXES.split()},
    "is_month": lower.is_in(words.MONTHS.split()),
    "is_day_of_week": lower.is_in(words.DAYS.split()),
    "is_state": lower.is_in(words.STATES.split()),
    "is_state_abv": stripped.is_in(words.STATE_CODES.split()),
    "is_website_suffix": text.is_in(words.DOMAINS.split()),
    "is_length": pl.any_horizontal(*(lower.str.contains(word) for word in words.LENGTHS.split())),
    "is_time": pl.any_horizontal(*(lower.str.contains(word) for word in words.TIMES.split())),
    "is_contrastive_conjunction": lower.is_in(words.CONTRASTS.split()),
}


def token_features(vocabulary: pl.LazyFrame) -> pl.LazyFrame:
    """One row per feature and token of which it is true."""
    ordinary = (
        vocabulary.filter(pl.col("bytes").bin.size() > 0)
        .with_columns(stripped=text.str.strip_chars())
        .with_columns(lower=stripped.str.to_lowercase())
    )
    broken = text.str.contains("\ufffd", literal=True)
    whole = ordinary.filter(~broken)
    rules = [_rows(whole.filter(rule), pl.lit(name), RULE) for name, rule in RULES.items()]
    often = (
        whole.filter(lower != "")
        .group_by("lower")
        .agg(n=pl.col("n").sum(), spelled=pl.len())
        .filter(pl.col("spelled") >= SPELLINGS, pl.col("n") > 0)
        .join(vocabulary.select(every=pl.col("n").sum()), how="cross")
        .filter(pl.col("n") >= UNIGRAM_SHARE * pl.col("every"))
    )
    unigrams = whole.join(often, on="lower", how="semi")
    letters = whole.filter(lower.str.contains("^[a-z]$"))
    return pl.concat(
        [
            *rules,
            _rows(ordinary.filter(broken), pl.lit("broken_bytes"), RULE),
            _rows(unigrams, pl.format("unigram_{}", lower), UNIGRAM),
            _rows(letters, pl.format("letter_{}", lower), LETTER),
        ]
    )


def _rows(tokens: pl.LazyFrame, feature: pl.Expr, kind: str) -> pl.LazyFrame:
    return tokens.select(feature=feature, token_id=pl.col("token_id"), kind=pl.lit(kind))
