"""What documents say: pages are as declared, queries in them run, and so do examples."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neurontab.run import Run
from neurontab.show.charts import CHARTS

ROOT = Path(__file__).parent.parent
SPLIT = """
values = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
one, first, second = (NegativeShare(3) for _ in range(3))
one.add(values)
first.add(values[:31])
second.add(values[31:])
first.merge(NegativeShare.load(second.state()))
print(torch.equal(one.result(), first.result()))
print(torch.equal(one.result(), (values < 0).double().mean(dim=0)))
"""
BLOCKS = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "method.md").read_text("utf-8"), re.S)
EXAMPLES = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text("utf-8"), re.S
)
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


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """The pages that `docs/generate.py` would write."""
    made: dict[str, str] = runpy.run_path(str(ROOT / "docs" / "generate.py"))["pages"]()
    return made


@pytest.mark.parametrize("name", ["tables.md", "cli.md", "gallery.md"])
def test_a_page_is_as_declared(generated: dict[str, str], name: str) -> None:
    assert (ROOT / "docs" / name).read_text("utf-8") == generated[name]
    assert len(generated) == 3


def test_the_definition_of_the_documents_is_a_table(family: Run, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(EXAMPLES[0])
    found = Run(family.folder, tmp_path).query("loud", threshold=1.2).collect()
    lengths = family.scan("weight_shape").collect()
    layer = lengths.filter(model="seed1", layer=1)
    mine = found.filter(model="seed1", layer=1).sort("neuron")
    share = layer.sort("neuron")["w_out_norm"] / layer["w_out_norm"].median()
    assert mine["loudness"].to_list() == pytest.approx(share.to_list(), rel=1e-6)
    assert mine["is_loud"].to_list() == (share > 1.2).to_list()


def test_the_chart_of_the_documents_is_drawn(family: Run) -> None:
    names: dict[str, Any] = {}
    exec(EXAMPLES[1], names)
    spec = names["output_lengths"](family.scan("weight_shape")).to_dict()
    (rows,) = spec["datasets"].values()
    assert sum(row["n"] for row in rows) == family.neurons.collect().height
    assert spec["title"]["subtitle"] == "144 neurons of all models"


def test_the_statistic_of_the_documents_adds_up() -> None:
    script = EXAMPLES[2] + SPLIT
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_a_notebook_shows_a_run_and_completes_its_tables(family: Run) -> None:
    assert family["matches"].collect().equals(family.scan("matches").collect())
    assert set(family._ipython_key_completions_()) == set(family.manifest.tables)
    shown = family._repr_html_()
    assert "<code>neurons</code></td><td style='text-align:right'>144</td>" in shown
    assert "seed0, seed1, seed2" in shown


def test_the_notebook_runs(family: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cell after cell, over a run that lies where the notebook looks for it."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "suite").symlink_to(family.folder)
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "docs" / "example.ipynb").read_text("utf-8"))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["universal"]["neurons"].to_list() == [24] * 6
    best = family.scan("universality").collect()["excess_corr"].max()
    assert names["card"].facts["excess_corr"] == best


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) >= 7
    assert len(COMMANDS) >= 3


@pytest.mark.parametrize("sql", BLOCKS, ids=range(len(BLOCKS)))
def test_a_query_of_the_method_runs(family: Run, sql: str) -> None:
    assert family.sql(sql).columns


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[2][:40])
def test_a_query_of_the_readme_runs(family: Run, words: list[str]) -> None:
    assert family.sql(words[2]).columns
