"""The formats of an answer: which there are, what suffixes say, what an answer is in each."""

import json
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from neurontab.errors import QueryError

if TYPE_CHECKING:
    import polars as pl


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    PARQUET = "parquet"
    ARROW = "arrow"


WHOLE = 2**31 - 1  # letters of a text that are written
SUFFIXES = {
    ".csv": Format.CSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".parquet": Format.PARQUET,
    ".arrow": Format.ARROW,
    ".feather": Format.ARROW,
}


def by_suffix(output: Path | None) -> Format:
    """What a file's suffix says; a table where there is no file. Raises QueryError."""
    if output is None:
        return Format.TABLE
    word = output.suffix.lower()
    if word not in SUFFIXES:
        raise QueryError(
            f"{output} does not say in which format to write.\n"
            f"End it in one of {', '.join(SUFFIXES)}, or give --format."
        )
    return SUFFIXES[word]


def encoded(answer: "pl.DataFrame", wanted: Format) -> bytes:
    """An answer in one of the formats; in those that are text, bytes are hexadecimal.

    Lists and structs are JSON in CSV and Markdown. Raises QueryError for what the format cannot
    hold.
    """
    from io import BytesIO

    import polars as pl

    buffer = BytesIO()
    if wanted not in (Format.PARQUET, Format.ARROW):
        answer = answer.with_columns(pl.col(pl.Binary).bin.encode("hex"))
    try:
        match wanted:
            case Format.CSV:
                _flat(answer).write_csv(buffer)
            case Format.JSON:
                answer.write_json(buffer)
            case Format.JSONL:
                answer.write_ndjson(buffer)
            case Format.PARQUET:
                answer.write_parquet(buffer)
            case Format.ARROW:
                answer.write_ipc_stream(buffer)
            case Format.TABLE | Format.MARKDOWN:
                buffer.write(_markdown(answer))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise QueryError(
            f"{wanted} cannot hold this answer: {str(error).splitlines()[0]}\n"
            "Write it as parquet or arrow, or cast its columns in the SQL."
        ) from error
    return buffer.getvalue()


def _flat(answer: "pl.DataFrame") -> "pl.DataFrame":
    """With lists and structs as JSON, and durations as text."""
    import polars as pl
    import polars.selectors as cs

    nested = {
        each.name: pl.Series(
            [None if value is None else _json(value) for value in each.to_list()],
            dtype=pl.String,
        )
        for each in answer.select(cs.nested())
    }
    return answer.with_columns(cs.duration().dt.to_string("iso")).with_columns(**nested)


def _json(value: object) -> str:
    """A list or struct; what is no number is null, bytes are hexadecimal."""

    def clean(part: object) -> object:
        match part:
            case dict():
                return {name: clean(each) for name, each in part.items()}
            case list():
                return [clean(each) for each in part]
            case float() if not isfinite(part):
                return None
            case bytes():
                return part.hex()
            case None | bool() | int() | float() | str():
                return part
        return str(part)

    return json.dumps(clean(value))


def _markdown(answer: "pl.DataFrame") -> bytes:
    import polars as pl

    flat = _flat(answer).rename(lambda name: name.replace("|", r"\|").replace("\n", " "))
    one_line = pl.col(pl.String).str.replace_all(r"\pC+", " ")
    text = one_line.str.replace_all("|", r"\|", literal=True)
    with pl.Config(
        tbl_formatting="MARKDOWN",
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        fmt_str_lengths=WHOLE,
        tbl_width_chars=-1,
    ):
        return f"{flat.with_columns(text)}\n".encode()
