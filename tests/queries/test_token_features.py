"""Which tokens have which feature: drawn words, and Python's own tests of characters."""

import polars as pl
import pytest

from neurontab.tables.query import discover
from neurontab.tables.schemas import MEASURED

QUERY = discover()["token_features"]


def features(texts: list[str], n: list[int] | None = None) -> dict[str, set[str]]:
    """By feature, the texts of the tokens that have it; text `<s>` is special."""
    vocabulary = pl.DataFrame(
        {
            "token_id": range(len(texts)),
            "text": texts,
            "bytes": [b"" if text == "<s>" else text.encode() for text in texts],
            "n": n or [1] * len(texts),
        },
        MEASURED["vocabulary"].schema,
    )
    found = QUERY.table.conform(QUERY({"vocabulary": vocabulary.lazy()}).collect())
    names = dict(enumerate(texts))
    return {
        feature: {names[token] for token in each["token_id"]}
        for (feature,), each in found.partition_by("feature", as_dict=True).items()
    }


@pytest.mark.parametrize(
    ("feature", "true", "false"),
    [
        ("all_white_space", " |\n\n|\t", "a| a|."),
        ("all_caps", "AB| NASA|A1|ÉÀ", "A|Ab|ab|12"),
        ("all_lower", "ab| a1|é", "Ab|A|12"),
        ("all_alpha", "ab| é|ß", "a1|a.|12| "),
        ("all_numeric", "12| 7|٣", "1a|1.5| "),
        ("all_symbolic", ".| );|--", "a.|1| "),
        ("any_symbolic", ".|a.| it's", "a|1| "),
        ("contains_period", ".|e.g", "a|,"),
        ("contains_backslash", "\\|a\\n", "/|n"),
        ("contains_carrot", "^|a^2", "a|v"),
        ("contains_double_dollar", "$$|a$$b", "$|$a$"),
        ("contains_dollar", "$| $$", "€|s"),
        ("closing_punc", ")|a]| }>", "(|a"),
        ("opening_punc", "(|a[| {<", ")|a"),
        ("math_symbol", "+|a=b|<", "a|!"),
        ("currency", "$|€5|£|¥", "s|E"),
        ("contains_digit", "1|a1b", "a|."),
        ("is_number_word", " seven|tenth|hundred", "Seven|sevens|7"),
        ("is_year", "1491| 1999|2199", "1490|2200|19990|a1999"),
        ("is_one_digit", "7| 7", "77|a|"),
        ("is_four_digit", "1234| 1999", "123|12345"),
        ("is_lt_31", "30|7|0", "31|32|a"),
        ("is_at_most_31", "31|7", "32|a"),
        ("is_male_pronoun", "he| His|HIMSELF", "her|she|hes"),
        ("is_first_person_pronoun", "I| we|my", "you|it|mys"),
        ("is_demonstrative_pronoun", " this|Those", "the|thus"),
        ("starts_w_vowel", " apple|E|io", "bad|1a|a1|é"),
        ("starts_w_consonant", " bad|é|X", "apple|1b|b1"),
        ("start_w_no_space", "a|.|\n", " a"),
        ("start_w_no_space_and_letter", "a|É", " a|1|."),
        ("start_w_space_and_letter", " a| É", "a|  a| 1"),
        ("starts_w_digit", "1| 1a", "a1"),
        ("starts_w_cap", "A| Ab|É", "a|1|."),
        ("starts_w_no_space_and_cap", "A|Ab", " A|a"),
        ("starts_w_no_space_and_lower", "a|ab", " a|A"),
        ("end_w_ing", "ing| Going|RING", "in|ings"),
        ("start_w_un", " un|Under|UNIT", "n|sun"),
        ("start_w_q", "q| Queen", "aq"),
        ("is_month", " May|sept|DEC", "Mays|day"),
        ("is_day_of_week", "Monday| friday", "day|mon"),
        ("is_state", "Texas| iowa", "TX|york"),
        ("is_state_abv", "TX| NY", "tx|Texas"),
        ("is_website_suffix", "com|io", " com|COM|coms"),
        ("is_length", " miles|feet|Meter", "mil|km"),
        ("is_time", " years|Day|yesterday", "yes|da"),
        ("is_contrastive_conjunction", " but|However", "and|butt"),
    ],
)
def test_a_rule_is_true_of_these_and_not_of_those(feature: str, true: str, false: str) -> None:
    yes, no = true.split("|"), [text for text in false.split("|") if text]
    assert features([*yes, *no])[feature] == set(yes)


def test_characters_are_told_as_python_tells_them() -> None:
    """Every character of the first plane that Python and Unicode's tables both know as a letter."""
    letters = [chr(code) for code in range(33, 0x3000) if chr(code).isalpha()]
    assert features(letters)["all_alpha"] == set(letters)
    lower = {c for c in letters if c.islower() and c.lower() == c and c.upper() != c}
    assert lower <= features(letters)["all_lower"]
    digits = [chr(code) for code in range(33, 0x3000) if chr(code).isdecimal()]
    assert features([*digits, "x"])["all_numeric"] == set(digits)


def test_a_unigram_is_a_frequent_word_in_many_spellings() -> None:
    texts = ["the", " the", "The", " THE", "of", " of", "Of", " Of", "in", " in", "In", "x"]
    n = [1, 1, 1, 1, 1, 1, 1, 0, 500, 500, 500, 10_000 - 1_507]
    found = features(texts, n)
    unigrams = {name: each for name, each in found.items() if name.startswith("unigram_")}
    assert unigrams == {
        "unigram_the": {"the", " the", "The", " THE"},
        "unigram_of": {"of", " of", "Of", " Of"},
    }
    rarer = features(texts, [*n[:-1], 10_000])
    assert "unigram_the" in rarer
    assert "unigram_of" not in rarer


def test_letters_are_the_spellings_of_one_letter() -> None:
    found = features(["a", " A", "ab", "é", "z"])
    letters = {name: each for name, each in found.items() if name.startswith("letter_")}
    assert letters == {"letter_a": {"a", " A"}, "letter_z": {"z"}}


def test_special_tokens_have_no_features_and_broken_bytes_one() -> None:
    found = features(["<s>", "\ufffd", "a\ufffd", "a"])
    assert found["broken_bytes"] == {"\ufffd", "a\ufffd"}
    others = [each for name, each in found.items() if name != "broken_bytes"]
    assert set().union(*others) == {"a"}
