"""A neuron's card: what it says is what the tables say, and text of the run can do nothing."""

import json
import re
import shutil
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import polars as pl
import pytest
import tiny
from scipy.stats import t
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner, Result

from neurontab.building import build
from neurontab.config import resolve
from neurontab.errors import QueryError
from neurontab.run import Run
from neurontab.show.card_page import page
from neurontab.show.headlines import headlines

app = import_module("neurontab.cli.app").app
print_card = import_module("neurontab.cli.card").print_card
WIDE = {"COLUMNS": "200", "NO_COLOR": "1"}


def call(*words: object, **environment: str) -> Result:
    """Runs a command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words], env=WIDE | environment)


@pytest.mark.parametrize("name", ["1.7", "L1N7", "L1.N7", "l1n7"])
def test_a_card_says_what_the_tables_say(family: Run, name: str) -> None:
    card = family.card("seed1", name)
    assert str(card.neuron) == "seed1 L1.N7"
    here = {"model": "seed1", "layer": 1, "neuron": 7}
    row = family.neurons.filter(**here).collect().row(0, named=True)
    assert card.facts == row
    layer = family.neurons.filter(model="seed1", layer=1).collect()
    for prop, value, percentile, _ in card.properties.rows():
        assert value == row[prop]
        below = layer[prop].drop_nulls() <= value
        assert percentile == pytest.approx(100 * below.mean(), abs=0.05)
    best = family.scan("matches").filter(rank=1, **here).sort("other_model").collect()
    names = [
        f"L{layer}.N{neuron}" for layer, neuron in best.select("other_layer", "other_neuron").rows()
    ]
    assert card.matches["other_neuron"].to_list() == names
    assert (
        card.twins["corr"].to_list()
        == family.scan("twins").filter(**here).collect()["corr"].to_list()
    )
    texts = dict(family.scan("vocabulary").select("token_id", "text").collect().iter_rows())
    promoted = family.scan("vocab_tokens").filter(direction="promoted", **here).sort("rank")
    assert card.tokens["promoted"] == [texts[t] for t in promoted.collect()["token_id"]]
    for context in card.contexts:
        example = family.scan("examples").filter(side=context.side, rank=context.rank, **here)
        found = example.collect().row(0, named=True)
        assert [token.text for token in context.tokens] == [texts[t] for t in found["tokens"]]
        assert context.tokens[context.place].activation == pytest.approx(context.value)
    assert [c.side for c in card.contexts] == ["top"] * 1 + ["bottom"] * 1 + ["sample"] * 3


def test_the_interval_of_a_match_follows_from_the_groups_of_documents(tmp_path: Path) -> None:
    for number in range(6):
        tiny.write_text(tmp_path / "text" / f"{number}.txt", tokens=400, seed=number)
    folders = [tiny.save(tiny.model(seed), tmp_path / f"m{seed}") for seed in range(2)]
    settings = resolve(
        models=list(map(str, folders)), corpus=[str(tmp_path / "text")], tokens="all"
    )
    run = build(settings, tmp_path / "run")
    groups = run.scan("document_groups").collect()
    assert len(groups) == 6
    best = run.scan("matches").filter(rank=1, model="m0", layer=1, neuron=7).collect()
    far = t.ppf(0.975, 5) * best["corr_se"].item()
    shown = run.card("m0", "1.7").matches
    assert 0 < far < 1
    corr = best["corr"].item()
    assert shown["corr_lo"].item() == pytest.approx(max(corr - far, -1), rel=1e-3)
    assert shown["corr_hi"].item() == pytest.approx(min(corr + far, 1), rel=1e-3)


def test_the_terminal_shows_it_at_any_width_without_colour(family: Run) -> None:
    for columns in ("200", "40"):
        shown = call("show", "seed0", "0.3", "-r", family.folder, COLUMNS=columns)
        assert shown.exit_code == 0
        assert "\x1b" not in shown.stdout
        for heading in ("seed0 L0.N3", "Best matches", "Twins", "Contexts: top", "Promoted"):
            assert heading in shown.stdout
    assert "«" in shown.stdout


def test_of_one_model_its_name_may_be_left_out(family: Run, tmp_path: Path, text: Path) -> None:
    missing = call("show", "0.3", "-r", family.folder)
    assert missing.exit_code == 1
    assert "there are seed0, seed1, seed2" in missing.stderr
    source = tiny.save(tiny.model(0), tmp_path / "alone")
    build(resolve(models=[str(source)], corpus=[str(text)], tokens="all"), tmp_path / "run")
    shown = call("show", "0.3", "-r", tmp_path / "run")
    assert shown.exit_code == 0
    assert "alone L0.N3" in shown.stdout
    assert "not matched" in shown.stdout


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        ("sed0", "0.3", "No model 'sed0'; there are seed0, seed1, seed2. Did you mean 'seed0'?"),
        ("seed0", "2.3", "no neuron 2.3: layers are 0 to 1, neurons 0 to 23."),
        ("seed0", "1.24", "no neuron 1.24: layers are 0 to 1, neurons 0 to 23."),
        ("seed0", "third", "'third' is no neuron.\nWrite it as 11.3030, L11N3030 or L11.N3030."),
    ],
)
def test_a_neuron_that_is_not_there_is_told(
    family: Run, model: str, name: str, message: str
) -> None:
    with pytest.raises(QueryError, match=re.escape(message)):
        family.card(model, name)


def test_a_page_needs_nothing_else(family: Run, tmp_path: Path) -> None:
    done = call("show", "seed0", "0.3", "-r", family.folder, "-o", tmp_path / "card.html")
    assert done.exit_code == 0
    content = (tmp_path / "card.html").read_text("utf-8")
    assert content == page(family.card("seed0", "0.3"))
    assert not re.search(r"<script|<link|<img|https?:|url\(", content)
    card = family.card("seed0", "0.3")
    for line in headlines(card):
        assert line.replace("'", "&#x27;") in content
    shown = call("show", "seed0", "0.3", "-r", family.folder).stdout
    assert unescape(card._repr_html_()).count(content) == 1
    for name in (*card.matches["other_neuron"], *card.twins["other_neuron"]):
        assert f"<td>{name}</td>" in content
        assert f" {name} " in shown
    wrong = call("show", "seed0", "0.3", "-r", family.folder, "-o", tmp_path / "card.pdf")
    assert "must end in .html" in wrong.stderr


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_text_of_a_corpus_does_nothing_on_a_card(tmp_path: Path) -> None:
    """Tokens that are a script, an image, an entity, and codes that steer a terminal."""
    words = [
        *tiny.WORDS[:40],
        "<script>alert(1)</script>",
        "<img/src=x>",
        "&lt;",
        "\x1b[31m",
        "[b]",
    ]
    vocabulary = {word: n for n, word in enumerate(("<bos>", "<unk>", *words))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    source = tmp_path / "<m>".replace("<", "a").replace(">", "b")
    tiny.model(0, words=len(words)).save_pretrained(source)
    PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<bos>", unk_token="<unk>"
    ).save_pretrained(source)
    lines = [json.dumps({"source": "<i>s</i>\x1b[2J", "text": " ".join(words * 40)})] * 3
    (tmp_path / "text.jsonl").write_text("\n".join(lines))
    settings = resolve(models=[str(source)], corpus=[str(tmp_path / "text.jsonl")], tokens="all")
    run = build(settings, tmp_path / "run")
    seen = ""
    for neuron in range(24):
        content = page(run.card("amb", f"0.{neuron}"))
        found = Tags(content)
        assert not found.tags & {"script", "img", "i"}
        assert "\x1b" not in content
        shown = call("show", "amb", f"0.{neuron}", "-r", run.folder).stdout
        assert "\x1b" not in shown
        seen += found.text + shown
    for word in ("<script>alert(1)</script>", "<img/src=x>", "&lt;", r"\x1b[31m", "[b]"):
        assert seen.count(word) >= 2
    assert r"<i>s</i>\x1b[2J" in seen


def test_labels_and_sources_do_nothing_on_a_terminal(
    family: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2Jsrc\u202e"
    card = family.card("seed0", "0.3")
    features = pl.DataFrame({"offset": "current", "feature": hostile, "explained": 0.5})
    said = {"family": "context", "measure": hostile, "feature": hostile}
    families = pl.DataFrame(said | {"value": 0.5, "threshold": 0.2})
    print_card(replace(card, features=features, families=families))
    shown = capsys.readouterr().out
    assert not any(code in shown for code in "\x1b\x07\u202e")
    assert shown.count(r"\x1b]0;owned") >= 3
    content = page(replace(card, features=features, families=families))
    assert not any(code in content for code in "\x1b\x07\u202e")


def test_a_score_below_0_is_told_as_one(family: Run) -> None:
    facts = {
        "role": "attention_activation",
        "role_by": "bos_score",
        "role_value": -0.758,
        "role_threshold": 0.38,
    }
    card = family.card("seed0", "0.3")
    lines = headlines(replace(card, facts=card.facts | facts))
    assert "role attention_activation: bos_score -0.758, below -0.38" in lines


def test_a_run_without_a_table_still_has_a_card(own: Run) -> None:
    """Of another version, say: what is there is shown."""
    manifest = json.loads((own.folder / "manifest.json").read_text())
    del manifest["tables"]["ablation_effects"], manifest["tables"]["head_scores"]
    (own.folder / "manifest.json").write_text(json.dumps(manifest))
    for name in ("ablation_effects", "head_scores"):
        shutil.rmtree(own.folder / "tables" / name)
    card = Run(own.folder).card("seed0", "0.3")
    assert card.heads.is_empty()
    assert isinstance(card.properties, pl.DataFrame)
