"""`python docs/generate.py`: writes tables.md, cli.md and gallery.md from what is declared."""

from importlib import import_module
from pathlib import Path

import click
import typer.main

from neurontab.show.charts import CHARTS, title_of
from neurontab.tables.query import Query, discover
from neurontab.tables.schemas import MEASURED
from neurontab.tables.table import Table

HERE = Path(__file__).parent


def main() -> None:
    """Writes every page."""
    for name, page in pages().items():
        (HERE / name).write_text(page, "utf-8")


def pages() -> dict[str, str]:
    """The text of every page by its file's name."""
    return {"tables.md": tables(), "cli.md": commands(), "gallery.md": gallery()}


def tables() -> str:
    """All tables: what is measured, then what is derived, with thresholds."""
    lines = [
        "# Tables",
        "",
        "Written by `python docs/generate.py` from the declarations; `neurontab tables NAME` says",
        "the same of a run. Columns in bold are the key. Null is told where it may be.",
        "",
        "## Measured",
        "",
    ]
    for table in MEASURED.values():
        lines += _table(table)
    lines += ["## Derived", ""]
    for query in discover().values():
        lines += [*_table(query.table), *_thresholds(query)]
    return "\n".join(lines)


def commands() -> str:
    """All commands with their arguments and options."""
    group = typer.main.get_command(import_module("neurontab.cli.app").app)
    lines = ["# Commands", "", "Written by `python docs/generate.py`; `--help` says the same.", ""]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        usage = " ".join(
            ["neurontab", name, *(_named(p) for p in command.params if _is_argument(p))]
        )
        lines += [f"## {name}", "", _cell(command.help or ""), "", f"`{usage} [OPTIONS]`", ""]
        lines += ["| option | what it does |", "|---|---|"]
        for parameter in command.params:
            written = ", ".join(f"`{each}`" for each in parameter.opts)
            said = _cell(getattr(parameter, "help", "") or "")
            lines.append(
                f"| {_named(parameter) if _is_argument(parameter) else written} | {said} |"
            )
        lines.append("")
    return "\n".join(lines)


def gallery() -> str:
    """All charts."""
    lines = [
        "# Gallery",
        "",
        "Every chart of the embedded suite, built with `neurontab build` and drawn with",
        "`neurontab chart --all -o docs/gallery --ppi 50`; one alone with",
        "`neurontab chart NAME -o x.html`, `.svg`, `.png`, `.pdf` or `.json`.",
        "",
    ]
    for name in CHARTS:
        lines += [f"## {name}", "", f"![{title_of(name)}](gallery/{name}.png)", ""]
    return "\n".join(lines)


def _table(table: Table) -> list[str]:
    lines = [f"### {table.name}", "", table.description, ""]
    lines += ["| column | type | unit | what it is | source |", "|---|---|---|---|---|"]
    for column in table.columns:
        name = f"**{column.name}**" if column in table.keys else column.name
        said = column.description + (" May be null." if column.nullable else "")
        if column.check:
            said += f" Values are {column.check.description}."
        cells = (name, str(column.dtype), column.unit, _cell(said), _cell(column.source))
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _thresholds(query: Query) -> list[str]:
    if not query.thresholds:
        return []
    said = [f"- `{query.name}.{t.name} = {t.default!r}`: {t.description}" for t in query.thresholds]
    return ["Thresholds, for `neurontab derive --set`:", "", *said, ""]


def _is_argument(parameter: click.Parameter) -> bool:
    return parameter.param_type_name == "argument"


def _named(parameter: click.Parameter) -> str:
    name = str(parameter.name).upper()
    return name if parameter.required else f"[{name}]"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
