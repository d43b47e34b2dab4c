"""`neurontab chart`: pictures of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurontab.errors import ChartError
from neurontab.printable import printable

from .options import Force, RunFolder, refuse_existing

if TYPE_CHECKING:
    from neurontab.show.charts import Chart

SUFFIXES = (".html", ".json", ".png", ".svg", ".pdf")


def chart(
    name: Annotated[
        str | None, typer.Argument(help="A chart; without one, they are listed.")
    ] = None,
    run: RunFolder = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="x.html, .json, .png, .svg or .pdf.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All charts, as PNG into the folder of -o.")
    ] = False,
    ppi: Annotated[int, typer.Option("--ppi", min=20, help="Pixels an inch of a PNG.")] = 200,
    inline: Annotated[
        bool, typer.Option("--inline", help="HTML that needs no network: 0.9 MB a chart.")
    ] = False,
    force: Force = False,
) -> None:
    """Draw a chart, or all of them."""
    import neurontab
    from neurontab.show.charts import CHARTS, title_of

    if name is not None and every:
        raise typer.BadParameter("either the name of a chart or --all.")
    if name is None and not every:
        for known in CHARTS:
            typer.echo(f"{known:<26} {title_of(known)}")
        return
    opened = neurontab.open(run)
    if every:
        folder = output or opened.folder / "charts"
        paths = {known: folder / f"{known}.png" for known in opened.charts()}
        for path in paths.values() if output else ():
            refuse_existing(path, force=force)
        if left := sorted(CHARTS.keys() - paths.keys()):
            typer.echo(f"Without tables to draw from: {', '.join(left)}.", err=True)
    else:
        refuse_existing(output, force=force)
        paths = {str(name): output or opened.folder / "charts" / f"{name}.png"}
    for known, path in paths.items():
        if path.suffix.lower() not in SUFFIXES:
            raise ChartError(f"{path} must end in one of {', '.join(SUFFIXES)}.")
        save(opened.chart(known), path, ppi=ppi, inline=inline)
        typer.echo(printable(str(path)))


def save(drawn: "Chart", path: Path, *, ppi: int, inline: bool) -> None:
    """Writes a chart, whole, in the format of its suffix."""
    from neurontab.files import write_text, write_whole

    kind = path.suffix.lower().removeprefix(".")
    if kind == "html":
        write_text(path, _page(drawn, inline=inline))
        return
    options: dict[str, Any] = {"format": kind} | ({"ppi": ppi} if kind == "png" else {})
    write_whole(path, lambda beside: drawn.save(str(beside), **options))


def _page(drawn: "Chart", *, inline: bool) -> str:
    """The chart as a page in which no text of the run can end the script that holds it."""
    lines = drawn.to_html(inline=inline).splitlines()
    spec = ("var spec = ", "const spec = ")
    return "\n".join(
        line.replace("<", r"\u003c") if line.strip().startswith(spec) else line for line in lines
    )
