"""SQL reads the run's tables and nothing else, and says what is wrong with a question."""

import re
from pathlib import Path

import polars as pl
import pytest

from neurontab.errors import QueryError
from neurontab.tables.sql import ask

TABLES = {
    "neurons": lambda: pl.LazyFrame({"layer": [0, 0, 1], "is_universal": [True, False, True]}),
    "matches": lambda: pl.LazyFrame({"layer": [0, 1], "corr": [0.5, 0.9]}),
}


def test_an_answer_is_what_the_question_asks() -> None:
    sql = "SELECT layer, count(*) AS n, sum(is_universal) AS universal FROM neurons GROUP BY layer"
    assert sorted(ask(sql, TABLES).rows()) == [(0, 2, 1), (1, 1, 1)]
    joined = "SELECT n.layer, m.corr FROM neurons n JOIN matches m ON n.layer = m.layer"
    assert len(ask(joined, TABLES)) == 3


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM neuron", "No table 'neuron' in this run. Did you mean 'neurons'?"),
        ("SELECT * FROM zzz", "No table 'zzz' in this run. There are: matches, neurons."),
        ("SELECT lyer FROM neurons", "No column 'lyer' in neurons. Did you mean 'layer'?"),
        ("SELECT n.lyer FROM neurons n", "No column 'lyer' in neurons. Did you mean 'layer'?"),
        ("SELEC layer FROM neurons", "cannot be run: sql parser error: .*Line: 1, Column: 1"),
        ("", "The SQL cannot be run"),
        ("SELECT * FROM NEURONS", "No table 'NEURONS' in this run. Did you mean 'neurons'?"),
        ("SELECT m.layer FROM neurons n", "No table or alias 'm' in this question, of neurons."),
        (
            'SELECT layer FROM neurons WHERE layer = "a"',
            "'a' in neurons.\nText stands in single quotes",
        ),
        ("COPY neurons TO 'x.csv'", "That is no question.\nOne begins with SELECT"),
        ("drop table neurons", "DROP would change tables"),
        ("-- x\n/* a\n*/ create table x as select * from neurons", "CREATE would change tables"),
        ("SELECT layer FROM neurons; DROP TABLE neurons", "one statement"),
    ],
)
def test_a_question_with_a_slip_is_told_the_nearest(sql: str, message: str) -> None:
    with pytest.raises(QueryError) as error:
        ask(sql, TABLES)
    assert re.search(
        message.replace("?", r"\?").replace("one statement", "one and only one"),
        str(error.value).replace("(", "").replace(")", ""),
    )


@pytest.mark.parametrize(
    "call",
    [
        "read_csv('{}')",
        "READ_CSV ('{}')",
        "\"read_csv\"('{}')",
        "scan_csv('{}')",
        "read_csv/**/('{}')",
        "read_csv --x\n('{}')",
        "read_parquet('{}')",
        "matches, (SELECT 1 AS \"'\") q, read_csv('{}')",
        "read_csv(concat('{}', $$'$$))",
    ],
)
def test_no_question_reads_a_file(tmp_path: Path, call: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nswordfish\n")
    with pytest.raises(QueryError) as error:
        ask(f"SELECT * FROM {call.format(secret)}", TABLES)
    assert "swordfish" not in str(error.value)
    assert "tables only" in str(error.value)


def test_all_tables_are_shown_when_one_asks_for_them() -> None:
    assert sorted(ask("SHOW TABLES", TABLES)["name"]) == ["matches", "neurons"]
