"""What documents say to ask: every query in them runs."""

import re
import shlex
from pathlib import Path

import pytest

from neurontab.run import Run
from neurontab.show.charts import CHARTS

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "method.md").read_text("utf-8"), re.S)
COMMANDS = [
    shlex.split(line)
    for line in (ROOT / "README.md").read_text("utf-8").splitlines()
    if line.startswith("neurontab query ")
]


def test_the_gallery_shows_every_chart() -> None:
    shown = re.findall(r"\(gallery/(\w+)\.png\)", (ROOT / "docs" / "gallery.md").read_text("utf-8"))
    assert shown == list(CHARTS)
    pictures = {path.stem for path in (ROOT / "docs" / "gallery").iterdir()}
    assert pictures == set(CHARTS)


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) >= 7
    assert len(COMMANDS) >= 3


@pytest.mark.parametrize("sql", BLOCKS, ids=range(len(BLOCKS)))
def test_a_query_of_the_method_runs(family: Run, sql: str) -> None:
    assert family.sql(sql).columns


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[2][:40])
def test_a_query_of_the_readme_runs(family: Run, words: list[str]) -> None:
    assert family.sql(words[2]).columns
