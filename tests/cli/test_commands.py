"""The command line: answers on stdout, everything else on stderr, and the right exit code."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import tiny
from conftest import Built
from rich.console import Console
from rich.progress import Progress
from typer.testing import CliRunner, Result

from neurontab import suite
from neurontab.errors import QueryError
from neurontab.files import sha256_of
from neurontab.run import Run
from neurontab.show.charts import CHARTS
from neurontab.tables.own import own_tables

app = import_module("neurontab.cli.app").app
progress = import_module("neurontab.cli.progress")
print_table = import_module("neurontab.cli.render").print_table
ask = import_module("neurontab.cli.ask")

NAMED = ("families", "universality")
SQL = "SELECT layer, count(*) AS n FROM neurons GROUP BY layer ORDER BY layer"


def call(*words: object) -> Result:
    """Runs a command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_question_is_answered(family: Run) -> None:
    done = call("query", SQL, "-r", family.folder)
    assert done.exit_code == 0
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["layer", "n"],
        ["0", "72"],
        ["1", "72"],
    ]


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet", "arrow", "markdown"])
def test_an_answer_comes_in_every_format(family: Run, tmp_path: Path, form: str) -> None:
    done = call("query", SQL, "-r", family.folder, "--format", form)
    file = tmp_path / f"answer.{form}"
    assert call("query", SQL, "-r", family.folder, "-o", file).exit_code == 0
    assert done.stdout_bytes == file.read_bytes()
    content = io.BytesIO(done.stdout_bytes)
    expected = family.sql(SQL)
    match form:
        case "csv":
            assert pl.read_csv(content).rows() == expected.rows()
        case "json":
            assert json.load(content) == expected.to_dicts()
        case "jsonl":
            assert pl.read_ndjson(content).rows() == expected.rows()
        case "parquet":
            assert pl.read_parquet(content).equals(expected)
            relation: Any = duckdb.sql(f"FROM '{file}'")
            assert relation.fetchall() == expected.rows()
        case "arrow":
            assert pl.read_ipc_stream(content).equals(expected)
        case "markdown":
            assert done.stdout.splitlines()[2].replace(" ", "") == "|0|72|"


def test_what_the_system_refuses_is_one_message(family: Run) -> None:
    done = call("query", SQL, "-r", "r" * 300)
    assert done.exit_code == 1
    assert done.stderr.startswith("FileError: rrr")
    assert done.stderr.strip().endswith("File name too long.")


def test_a_question_is_read_from_a_file_or_standard_input(family: Run, tmp_path: Path) -> None:
    (tmp_path / "question.sql").write_text(SQL)
    expected = call("query", SQL, "-r", family.folder).stdout
    told = call("query", "-f", tmp_path / "question.sql", "-r", family.folder)
    assert told.stdout == expected
    piped = CliRunner().invoke(app, ["query", "-f", "-", "-r", str(family.folder)], input=SQL)
    assert piped.stdout == expected
    (tmp_path / "marked.sql").write_text(SQL, "utf-8-sig")
    assert call("query", "-f", tmp_path / "marked.sql", "-r", family.folder).stdout == expected
    for words in ((SQL, "-f", tmp_path / "question.sql"), ("-f", tmp_path / "none.sql")):
        assert call("query", *words, "-r", family.folder).exit_code == 1


def test_other_files_are_read_when_that_is_allowed(family: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("layer,name\n0,first\n")
    sql = f"SELECT name FROM read_csv('{tmp_path / 'mine.csv'}')"
    refused = call("query", sql, "-r", family.folder)
    assert refused.exit_code == 1
    assert "Allow it with --allow-files" in refused.stderr
    allowed = call("query", sql, "-r", family.folder, "--allow-files")
    assert allowed.stdout.split() == ["name", "first"]


def test_lists_are_whole_in_text(family: Run, tmp_path: Path) -> None:
    sql = "SELECT tokens FROM examples LIMIT 1"
    tokens = family.sql(sql)["tokens"].to_list()
    for name in ("x.csv", "x.md"):
        assert call("query", sql, "-r", family.folder, "-o", tmp_path / name).exit_code == 0
    assert [json.loads(text) for text in pl.read_csv(tmp_path / "x.csv")["tokens"]] == tokens
    row = (tmp_path / "x.md").read_text().splitlines()[-1].strip("| ")
    assert json.loads(row) == tokens[0]


def test_what_text_cannot_hold_is_null_or_hexadecimal() -> None:
    frame = pl.DataFrame({"a|b": [[float("nan"), 1.0]], "c": [[b"\xff"]], "d": [["x|y\n"]]})
    assert ask.encoded(frame, ask.Format.CSV).decode().splitlines() == [
        "a|b,c,d",
        '"[null, 1.0]","[""ff""]","[""x|y\\n""]"',
    ]
    head, _, row = ask.encoded(frame, ask.Format.MARKDOWN).decode().splitlines()
    cells = [[cell.strip() for cell in line[1:-1].split(" | ")] for line in (head, row)]
    assert cells == [[r"a\|b", "c", "d"], ["[null, 1.0]", '["ff"]', r'["x\|y\n"]']]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_limit_holds_for_every_format(family: Run, tmp_path: Path, form: str) -> None:
    file = tmp_path / f"x.{form}"
    words = ("query", "SELECT neuron FROM neurons", "-r", family.folder, "-o", file, "--limit", 5)
    assert (
        call(*words).stderr == f"{family.neurons.collect().height - 5:,} more rows, by --limit.\n"
    )
    sql = "SELECT count(*) FROM five"
    assert family.sql(sql, own_tables([f"five={file}"], taken=())).item() == 5


def test_frames_of_others_are_tables_by_a_name_that_is_free(family: Run) -> None:
    mine = pl.DataFrame({"layer": [0], "name": ["first"]})
    sql = "SELECT count(*) AS n FROM neurons JOIN mine USING (layer)"
    for frame in (mine, mine.lazy(), mine.to_arrow(), mine.to_pandas()):
        assert family.sql(sql, {"mine": frame}).item() == 72
    with pytest.raises(QueryError, match="There is a table 'models' already"):
        family.sql("SELECT * FROM models", {"models": mine})


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "jsonl", "feather"])
def test_a_file_is_a_table_beside_those_of_the_run(family: Run, tmp_path: Path, form: str) -> None:
    mine = pl.DataFrame({"layer": [1, 0], "name": ["second", "first"]})
    sql = "SELECT name, count(*) AS n FROM neurons JOIN mine USING (layer) GROUP BY name ORDER BY n"
    path = tmp_path / f"mine.{form}"
    with path.open("wb") as file:
        mine.write_ipc(file) if form == "feather" else file.write(
            ask.encoded(mine, ask.Format(form))
        )
    done = call("query", sql, "-r", family.folder, "--table", f"mine={path}", "--format", "csv")
    assert done.exit_code == 0
    assert sorted(done.stdout.split()) == ["first,72", "name,n", "second,72"]
    assert family.sql(sql, {"mine": mine}).height == 2


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("mine.csv", "'mine.csv' names no table.\nWrite it as NAME=FILE."),
        ("a b=mine.csv", "names no table"),
        ("neurons=mine.csv", "There is a table 'neurons' already"),
        ("mine=gone.csv", "No file gone.csv for table 'mine'"),
        ("mine=mine.xlsx", "mine.xlsx must end in one of .csv"),
        ("mine=broken.arrow", "broken.arrow cannot be read"),
    ],
)
def test_a_file_that_is_no_table_is_one_message(
    family: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.arrow").write_bytes(b"ARROW?")
    done = call("query", SQL, "-r", family.folder, "--table", named)
    assert done.exit_code == 1
    assert message in done.stderr


def test_a_long_answer_says_how_much_it_hides(family: Run) -> None:
    done = call("query", "SELECT neuron FROM neurons", "-r", family.folder, "--limit", 5)
    assert len(done.stdout.splitlines()) == 6
    assert "139 more rows" in done.stderr
    everything = call("query", "SELECT neuron FROM neurons", "-r", family.folder, "--limit", 0)
    assert len(everything.stdout.splitlines()) == 145
    assert not everything.stderr


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "markdown", "table"])
def test_bytes_and_line_ends_fit_into_text(family: Run, form: str) -> None:
    sql = "SELECT token_id, bytes, 'a|b\nc' AS text FROM vocabulary WHERE token_id = 3"
    done = call("query", sql, "-r", family.folder, "--format", form)
    assert done.exit_code == 0
    assert "7731" in done.stdout
    if form == "markdown":
        assert done.stdout.splitlines()[-1].replace(" ", "") == r"|3|7731|a\|bc|"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["query", "SELECT lyer FROM neurons"], 1, "QueryError: No column 'lyer'"),
        (["query", "SELECT * FROM neuron"], 1, "Did you mean 'neurons'"),
        (["query", SQL, "-o", "answer.docx"], 1, "does not say in which format"),
        (["query", SQL, "-o", "/proc/answer.csv"], 1, "FileError: /proc/answer.csv cannot be"),
        (["query", SQL, "-o", ".", "--format", "csv"], 1, "FileError: . cannot be written"),
        (["chart", "correlations", "-o", "/proc/x.png"], 1, "FileError: /proc/x.png cannot be"),
        (["tables", "neuron"], 1, "TableError: No table 'neuron'"),
        (["chart", "corelations"], 1, "Did you mean 'correlations'"),
        (["chart", "correlations", "-o", "x.gif"], 1, "must end in one of"),
        (["derive", "--set", "universality.treshold=1"], 1, "Did you mean 'threshold'"),
        (["query", SQL, "--format", "xml"], 2, "Invalid value for '--format'"),
        (["query"], 1, "Give the question once"),
        (["qery", SQL], 2, "No such command"),
    ],
)
def test_a_slip_is_one_message_and_its_exit_code(
    family: Run, words: list[str], code: int, message: str
) -> None:
    done = call(*words, *(["-r", family.folder] if len(words) > 1 else []))
    assert done.exit_code == code
    assert message in done.stderr
    assert not done.stdout
    assert "Traceback" not in done.stderr


def test_a_missing_run_says_how_to_build_one(tmp_path: Path) -> None:
    done = call("info", "-r", tmp_path / "nowhere")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        f"RunError: No run {tmp_path}/nowhere.",
        "Build one with: neurontab build",
    ]


def test_tables_and_their_columns_are_listed(family: Run) -> None:
    listed = call("tables", "-r", family.folder).stdout
    for name, table in family.tables().items():
        assert name in listed
        assert table.description in listed
    shown = call("tables", "universality", "-r", family.folder).stdout
    assert "excess_corr" in shown
    assert "threshold = 0.5: Excess above which a neuron is universal" in shown


def test_info_tells_what_a_run_is_made_from(family: Run) -> None:
    shown = call("info", "-r", family.folder).stdout
    for model in family.manifest.models:
        assert str(model["sha256"])[:12] in shown
    assert family.manifest.run_id in shown


def test_charts_are_listed_and_drawn(family: Run, tmp_path: Path) -> None:
    assert "correlations" in call("chart").stdout
    done = call("chart", "--all", "-r", family.folder, "-o", tmp_path / "charts")
    written = [Path(line) for line in done.stdout.splitlines()]
    assert [path.stem for path in written] == family.charts() == list(CHARTS)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_a_run_without_activations_has_the_other_charts(own: Run) -> None:
    manifest = own.folder / "manifest.json"
    said = json.loads(manifest.read_text("utf-8"))
    said["files"] = {f: d for f, d in said["files"].items() if not f.startswith("activations")}
    manifest.write_text(json.dumps(said))
    done = call("chart", "--all", "-r", own.folder, "-o", own.folder / "charts")
    assert done.exit_code == 0
    assert "token_classes" in done.stderr
    refused = call("chart", "token_classes", "-r", own.folder)
    assert "needs activations, which this run has not" in refused.stderr
    assert "--activations 2048" in refused.stderr


def test_damaged_activations_are_named(own: Run) -> None:
    path = own.folder / "activations" / "seed1" / "pre.0.arrow"
    path.write_bytes(path.read_bytes()[:-100])
    done = call("chart", "source_classes", "-r", own.folder)
    assert done.exit_code == 1
    assert f"{path} is damaged" in done.stderr
    path.unlink()
    assert f"{path} is missing" in call("chart", "source_classes", "-r", own.folder).stderr


def test_one_model_alone_has_the_charts_that_need_no_other(built: Built, text: Path) -> None:
    run = built(text, only=tiny.model(0))
    done = call("chart", "--all", "-r", run.folder)
    assert done.exit_code == 0
    assert "match_layers" in done.stderr
    assert "match_layers" not in done.stdout
    assert len(done.stdout.splitlines()) >= 12
    refused = call("chart", "match_layers", "-r", run.folder)
    assert "needs matches, which this run has not" in refused.stderr


def test_a_page_cannot_be_left_by_text_of_the_run(own: Run, tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script><!--"
    path = own.folder / "tables" / "universality" / "all.parquet"
    pl.read_parquet(path).with_columns(model=pl.lit(hostile)).write_parquet(path)
    about = json.loads((own.folder / "manifest.json").read_text())
    about["tables"]["universality"]["all"]["bytes"] = path.stat().st_size
    (own.folder / "manifest.json").write_text(json.dumps(about))
    done = call("chart", "excess_by_layer", "-r", own.folder, "-o", tmp_path / "x.html")
    assert done.exit_code == 0, done.stderr
    page = (tmp_path / "x.html").read_text("utf-8")
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert page.count("</script>") == 4
    again = call("chart", "excess_by_layer", "-r", own.folder, "-o", tmp_path / "x.html")
    assert again.exit_code == 1
    assert "x.html exists.\nName another with -o, or replace it with --force." in again.stderr
    words = ("chart", "excess_by_layer", "-r", own.folder, "-o", tmp_path / "x.html")
    assert call(*words, "--force", "--inline").exit_code == 0
    inline = (tmp_path / "x.html").read_text("utf-8")
    assert "alert(1)" in inline
    assert "<script>alert" not in inline
    assert not re.search(r"<(script|link)[^>]+(src|href)=", inline)


@pytest.mark.parametrize(
    "words", [["query", SQL], ["chart", "correlations"], ["derive"], ["info"]], ids=lambda w: w[0]
)
def test_a_damaged_table_is_named_by_every_command(own: Run, words: list[str]) -> None:
    for path in (own.folder / "tables").rglob("*.parquet"):
        content = bytearray(path.read_bytes())
        content[4:-8] = b"\xff" * (len(content) - 12)
        path.write_bytes(content)
    done = call(*words, "-r", own.folder)
    assert done.exit_code == 1
    assert "Traceback" not in done.stderr
    assert "TableError" in done.stderr
    assert "is damaged" in done.stderr


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "markdown", "table"])
def test_no_format_can_steer_a_terminal(
    family: Run, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    sql = "SELECT 'a\x1b[31mb\x9bc' AS text FROM models LIMIT 1"
    raw = call("query", sql, "-r", family.folder, "--format", form).stdout
    assert ("\x1b" in raw) == (form == "csv")
    leader, follower = os.openpty()
    with os.fdopen(leader, "rb") as screen, os.fdopen(follower, "w") as terminal:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", terminal)
            patch.setenv("NO_COLOR", "1")
            app(["query", sql, "-r", str(family.folder), "--format", form], standalone_mode=False)
            terminal.flush()
        shown = os.read(screen.fileno(), 10_000)
    assert b"\x1b[31m" not in shown
    assert b"\xc2\x9b" not in shown


def test_a_name_in_a_table_s_head_cannot_steer_the_terminal(family: Run) -> None:
    shown = call("query", 'SELECT 1 AS "\x1b[31mred" FROM models LIMIT 1', "-r", family.folder)
    assert "\x1b" not in shown.stdout
    assert "red" in shown.stdout


def test_a_build_that_is_there_tells_its_thresholds(words: list[str], tmp_path: Path) -> None:
    assert "Not at default" not in call(*words).stderr
    call("derive", "-r", tmp_path / "run", "--set", "universality.threshold=-1")
    assert "Not at default: universality.threshold=-1.0" in call(*words).stderr


def test_bars_show_what_is_done_and_how_fast() -> None:
    terminal = Console(force_terminal=True, width=120, file=io.StringIO())
    with Progress(*progress.COLUMNS, console=terminal, refresh_per_second=1000) as bars:
        with progress.Bars(bars, terminal).stage("activations", 1_000, "tokens") as stage:
            stage.advance(400)
            time.sleep(0.01)
            stage.advance(200)
            bars.refresh()
            middle = terminal.file.getvalue()  # type: ignore[attr-defined]
        bars.refresh()
    shown = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "600/1,000 tokens" in middle
    assert "tokens/s" in middle
    assert "activations" in shown


def test_deriving_prints_what_has_changed(family: Run, tmp_path: Path) -> None:
    shutil.copytree(family.folder, tmp_path / "own")
    done = call("derive", "-r", tmp_path / "own", "--set", "universality.threshold=-1")
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[3] for row in rows] == ["48", "48", "48"]
    assert "universality.threshold=-1.0" in call("info", "-r", tmp_path / "own").stdout


PLAN = ["neurons", "pairs", "tokens", "matching", "passes", "FLOP", "memory", "disk", "time"]


@pytest.fixture
def words(tmp_path: Path, text: Path) -> list[str]:
    """The words of a build of two tiny models."""
    folders = [tiny.save(tiny.model(seed), tmp_path / f"m{seed}") for seed in range(2)]
    models = [word for folder in folders for word in ("--model", str(folder))]
    return ["build", *models, "--corpus", str(text), "-o", str(tmp_path / "run")]


def test_a_build_prints_its_summary_and_the_plan_beside_it(words: list[str]) -> None:
    done = call(*words)
    assert done.exit_code == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["model", "m0", "m1"]
    for part in (
        "neurons  96 (m0 48, m1 48)",
        "activations m0 of",
        "matches done in",
        "time     about",
    ):
        assert part in done.stderr
    again = call(*words)
    assert again.stdout == done.stdout
    assert "matches" not in again.stderr


def test_a_dry_run_prints_the_plan_and_writes_nothing(words: list[str], tmp_path: Path) -> None:
    done = call(*words, "--dry-run")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == PLAN
    assert "pairs    1 of models, matched in both directions" in done.stdout
    (tmp_path / "sketch.toml").write_text('[matching]\nmode = "sketch"\n')
    few = call(words[0], tmp_path / "sketch.toml", *words[1:], "--dry-run", "--memory", "9G")
    assert "by all products: fewer than 5,120 tokens are not sketched" in few.stdout
    assert "of 9.0 GiB" in few.stdout
    assert not (tmp_path / "run").exists()


def test_info_tells_how_many_rows_are_known_in_which_way(own: Run) -> None:
    manifest = own.folder / "manifest.json"
    said = json.loads(manifest.read_text("utf-8"))
    said["matched"] |= {
        "sketch_rows": 65_280,
        "certificates": {"exact": 1, "bound": 2_345, "probabilistic": 60_000},
        "further": 7_000,
    }
    manifest.write_text(json.dumps(said))
    shown = call("info", "-r", own.folder).stdout
    assert "sketches of 65,280 rows" in shown
    rows = "rows: 1 exact, 2,345 bound, 60,000 probabilistic, 7,000 in a further pass"
    assert rows in " ".join(shown.split())


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--tokens", "many"], "ConfigError"),
        (["--preset", "papr"], "Did you mean 'paper'"),
        (["--model", "nowhere/at/all"], "ModelError"),
        (["--corpus", "nowhere.txt"], "CorpusError: No file or folder nowhere.txt"),
        (["nowhere.toml"], "ConfigError: No config file nowhere.toml"),
        (["--tokens", "50M"], "50,000,000 were asked for"),
    ],
)
def test_a_build_that_cannot_be_is_one_message(
    words: list[str], tmp_path: Path, extra: list[str], message: str
) -> None:
    done = call(*words, *extra)
    assert done.exit_code == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def start(*words: str) -> "subprocess.Popen[str]":
    """A command in a process of its own."""
    command = [sys.executable, "-m", "neurontab.cli", *words]
    environment = os.environ | {"COLUMNS": "40", "NO_COLOR": "1", "PYTHONUNBUFFERED": ""}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_control_c_stops_with_130_and_the_build_can_be_gone_on_with(tmp_path: Path) -> None:
    """One suite model, which is at work for some seconds."""
    words = ["build", "-m", str(suite.models()[0]), "--corpus", str(suite.CORPUS)]
    words += ["--tokens", "4k", "-o", str(tmp_path / "run"), str(tmp_path / "quick.toml")]
    (tmp_path / "quick.toml").write_text("ablations = 0\n")
    with start(*words) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("activations seed0 of"):
                process.send_signal(signal.SIGINT)
                break
        assert process.stderr.read() == "Stopped.\n"
    assert process.returncode == 130
    assert "is not finished" in call("info", "-r", tmp_path / "run").stderr
    assert call(*words).exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["query", "SELECT * FROM matches", "--format", "csv"],
        ["query", "SELECT * FROM matches", "--limit", "0"],
        ["show", "seed1", "1.7"],
    ],
)
def test_a_pipe_that_closes_early_is_no_error(family: Run, words: list[str]) -> None:
    with start(*words, "-r", str(family.folder)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert not process.stderr.read()
    assert process.returncode == 0


def test_output_that_nobody_reads_is_no_error(family: Run) -> None:
    with start("info", "-r", str(family.folder)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # before there is any
        assert not process.stderr.read()
    assert process.returncode == 0


def test_a_narrow_terminal_shows_whole_numbers_and_names_what_it_leaves_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The second column of numbers does not fit any more; the text is wrapped."""
    frame = pl.DataFrame(
        {"text": ["a word of " * 5], "number": [-0.123456], "unit": ["nats"], "last": [12345.6]}
    )
    hidden = print_table(Console(width=38), frame, str)
    assert hidden == ["last"]
    shown = capsys.readouterr().out
    assert "-0.123456  nats" in shown
    assert max(map(len, shown.splitlines())) <= 38
    assert print_table(Console(width=38), frame.select("last", "text"), str) == []


def test_a_run_is_held_against_its_manifest(own: Run) -> None:
    done = call("check", "-r", own.folder)
    assert done.exit_code == 0
    assert f"{len(own.manifest.listed())} files" in done.stdout
    damaged, gone = (own.folder / "tables" / name / "all.parquet" for name in NAMED)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    gone.unlink()
    (own.folder / "config.toml").unlink()
    extra = own.folder / "tables" / "models" / "extra.parquet"
    extra.write_bytes(b"nothing")
    strange = own.folder / "tables" / "roles" / "all.parquet"
    n = own.manifest.tables["roles"]["all"].rows
    pl.read_parquet(strange).drop("role_by").write_parquet(strange)
    manifest = own.folder / "manifest.json"
    said = json.loads(manifest.read_text("utf-8"))
    said["tables"]["roles"]["all"]["sha256"] = sha256_of(strange)
    said["tables"]["roles"]["all"]["rows"] += 1
    manifest.write_text(json.dumps(said))
    done = call("check", "-r", own.folder)
    assert done.exit_code == 3
    assert f"{damaged} is damaged: its content is not what the manifest says." in done.stderr
    assert f"{gone} is missing." in done.stderr
    assert "config.toml is missing." in done.stderr
    assert f"{extra} is not the run's." in done.stderr
    assert f"{strange} has role_by as no column, declared String" in done.stderr
    assert f"{strange} has {n} rows, the manifest says {n + 1}" in done.stderr


def test_text_from_a_corpus_cannot_steer_the_terminal(family: Run) -> None:
    sql = "SELECT '[bold]b[/bold]\x1b[31m' AS text FROM models LIMIT 1"
    shown = call("query", sql, "-r", family.folder)
    assert shown.exit_code == 0
    assert "\x1b" not in shown.stdout
    assert "[bold]b[/bold]" in shown.stdout
    refused = call("query", "SELECT \x1b[31m FROM neurons", "-r", family.folder)
    assert refused.exit_code == 1
    assert "\x1b" not in refused.stderr
