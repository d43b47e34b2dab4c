"""Text becomes tokens: what is drawn, what is cut, what is counted."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny

from neurontab.errors import CorpusError
from neurontab.files import sha256_of
from neurontab.measure import corpus
from neurontab.measure.corpus import Corpus, place
from neurontab.measure.documents import corpus_files, read_documents
from neurontab.measure.sequences import CorpusPlan
from neurontab.progress import Silent

TOKENIZER = tiny.tokenizer().backend_tokenizer


def plan(*places: Path, tokens: object = "all", at_most: bool = False, seed: int = 0) -> CorpusPlan:
    """A plan with sequences of 16."""
    return CorpusPlan(
        places=tuple(map(str, places)),
        context=16,
        tokens=tokens,  # type: ignore[arg-type]
        at_most=at_most,
        masked_ids=(0,),
        bos=0,
        seed=seed,
    )


def prepared(planned: CorpusPlan) -> Corpus:
    """The corpus of a plan."""
    return corpus.prepare(planned, TOKENIZER, corpus.digest_of(planned, TOKENIZER), Silent())


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Two sources of several documents each, the second with words of its own."""
    for number in range(5):
        tiny.write_text(tmp_path / "text" / "one" / f"{number}.txt", 333, number, tiny.WORDS[:30])
        tiny.write_text(tmp_path / "text" / "two" / f"{number}.txt", 111, number, tiny.WORDS[30:])
    return tmp_path / "text"


def test_every_piece_is_a_run_of_its_source_behind_bos(sources: Path) -> None:
    found = prepared(plan(sources))
    table = pa.ipc.open_file(found.folder / "tokens.arrow").read_all().to_pydict()
    documents = pq.read_table(found.folder / "documents.parquet").to_pydict()
    streams = {}
    for source in ("one", "two"):
        texts = [(sources / source / f"{n}.txt").read_text() for n in range(5)]
        streams[source] = TOKENIZER.encode(" ".join(texts)).ids
    for source, document, start, tokens in zip(
        table["source"], table["first_document"], table["start"], table["tokens"], strict=True
    ):
        assert tokens[0] == 0
        assert tokens[1:] == streams[source][start : start + 15]
        begins, n = documents["start"][document], documents["n"][document]
        assert documents["source"][document] == source
        assert begins <= start < begins + n
    drawn = Counter(table["source"])
    assert drawn["one"] in (110, 111)
    assert drawn["two"] in (36, 37)
    assert len(set(zip(table["source"], table["start"], strict=True))) == len(table["start"])


def test_a_smaller_build_reads_the_first_sequences_of_a_larger_one(sources: Path) -> None:
    everything = prepared(plan(sources)).tokens
    some = prepared(plan(sources, tokens=1_001))
    assert np.array_equal(some.tokens, everything[: len(some.tokens)])
    assert some.n_counted >= 1_001 > some.n_counted - 15
    assert not np.array_equal(prepared(plan(sources, seed=1)).tokens, everything)


def test_masked_tokens_do_not_count(sources: Path) -> None:
    found = prepared(plan(sources))
    frequent = int(np.bincount(found.tokens[:, 1:].ravel()).argmax())
    masked = replace(found, masked_ids=(0, frequent))
    tokens = masked.batch(0, len(found.tokens))
    assert masked.counted(tokens).sum() == masked.n_counted == masked.token_counts(62).sum()
    assert masked.token_counts(62)[frequent] == 0
    assert found.n_counted == found.tokens.size - len(found.tokens)


def test_the_same_text_is_tokenised_once(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepared(plan(sources))
    made = (first.folder / "tokens.arrow").stat().st_mtime_ns
    assert (prepared(plan(sources)).folder / "tokens.arrow").stat().st_mtime_ns == made
    (sources / "one" / "0.txt").write_text("w1 w2 w3")
    assert prepared(plan(sources)).folder != first.folder


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "txt"])
def test_every_kind_of_file_gives_the_same_documents(tmp_path: Path, kind: str) -> None:
    texts = ["w1 w2 w3", "w4", "", "ä ö ü"]
    place = tmp_path / f"corpus.{kind}"
    match kind:
        case "jsonl":
            rows = [{"text": text, "source": "s"} for text in texts]
            place.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", "utf-8")
        case "parquet":
            pq.write_table(pa.table({"text": texts, "source": ["s"] * 4}), place)
        case "txt":
            place = tmp_path / "corpus" / "s"
            place.mkdir(parents=True)
            (place / ".hidden").write_text("w9")
            for number, text in enumerate(texts):
                (place / f"{number}.txt").write_text(text, "utf-8")
            place = place.parent
    found = list(read_documents(corpus_files((str(place),))))
    assert [(d.text, d.source) for d in found] == [(t, "s") for t in texts if t]


def bad(tmp_path: Path, name: str, content: bytes) -> Path:
    """A file of this content."""
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("latin.txt", b"w1 caf" + b"\xe9 w2", r"latin.txt is not UTF-8: byte 6 is 0xe9"),
        ("broken.jsonl", b'{"text": "w1"}\n{"text"\n', r"broken.jsonl, line 2: not JSON"),
        ("field.jsonl", b'{"content": "w1"}\n', r"line 1: no field 'text'"),
        (
            "half.jsonl",
            b'{"text": "w1 \\ud800"}',
            r"line 1: character 3 of .text. is half of a surrogate",
        ),
        ("deep.jsonl", b"[" * 100_000, r"deep.jsonl, line 1: not JSON"),
        ("kind.jsonl", b'{"text": "w1", "source": 3}', r"line 1: field 'source' holds no string"),
        ("place.jsonl", b'{"text": "w1", "path": "\\ud800"}', r"character 0 of 'path' is half"),
        ("torn.parquet", b"PAR1 no parquet", r"torn.parquet is not a Parquet file"),
        ("empty.txt", b"", r"0 tokens.* at least 1,000"),
        ("tiny.txt", b"w1 w2 w3", r"3 tokens.* at least 1,000 are needed.\nName more text"),
    ],
)
def test_text_that_cannot_be_used_is_refused_by_name_and_place(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        prepared(plan(bad(tmp_path, name, content)))


def test_what_is_not_there_and_what_is_too_little_is_said(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"No file or folder .*nowhere"):
        prepared(plan(tmp_path / "nowhere"))
    with pytest.raises(CorpusError, match=r"2,\d\d\d tokens can be counted, 50,000 were asked for"):
        prepared(plan(sources, tokens=50_000))
    assert prepared(plan(sources, tokens=50_000, at_most=True)).n_counted > 2_000
    with pytest.raises(CorpusError, match="50,000 were asked for"):
        prepared(plan(sources, tokens=50_000))
    no_text = tmp_path / "other.parquet"
    pq.write_table(pa.table({"body": ["w1"]}), no_text)
    with pytest.raises(CorpusError, match="has no column 'text'; it has body"):
        prepared(plan(no_text))
    dated = tmp_path / "dated.parquet"
    times = pa.array([2**50], pa.timestamp("ms"))
    pq.write_table(pa.table({"text": ["w1"], "source": times}), dated)
    with pytest.raises(CorpusError, match="column 'source' holds no strings"):
        prepared(plan(dated))


def test_a_damaged_cache_is_made_again(sources: Path) -> None:
    first = prepared(plan(sources))
    expected = first.tokens.copy()
    path = first.folder / "tokens.arrow"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:100])
    assert np.array_equal(prepared(plan(sources)).tokens, expected)


def test_a_changed_token_file_is_never_read(sources: Path, tmp_path: Path) -> None:
    """A run's token file may be the cache's own; whoever writes into one writes into both."""
    first = prepared(plan(sources))
    expected = first.tokens.copy()
    place(first, tmp_path / "corpus")
    content = bytearray((tmp_path / "corpus" / "tokens.arrow").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "corpus" / "tokens.arrow").write_bytes(content)
    again = prepared(plan(sources))
    assert np.array_equal(again.tokens, expected)
    assert again.sha256 == first.sha256 == sha256_of(again.folder / "tokens.arrow")


def test_a_text_is_read_once_and_only_as_what_it_is(tmp_path: Path) -> None:
    one = bad(tmp_path, "one.txt", b"w1 w2")
    for places in ((str(one), str(one)), (str(tmp_path), str(one))):
        with pytest.raises(CorpusError, match=r"one.txt is named twice"):
            corpus_files(places)
    with pytest.raises(CorpusError, match="No file or folder ''"):
        corpus_files(("",))
    with pytest.raises(CorpusError, match=r"some.json is JSON.*\nWrite a document a line"):
        corpus_files((str(bad(tmp_path, "some.json", b"[]")),))


def test_text_that_changes_while_it_is_read_is_not_kept(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, path = plan(sources, seed=77), sources / "one" / "0.txt"
    digest, before = corpus.digest_of(planned, TOKENIZER), path.read_text()
    path.write_text(before.replace("w1", "w2"))
    with pytest.raises(CorpusError, match=r"changed while it was read.\nBuild again"):
        corpus.prepare(planned, TOKENIZER, digest, Silent())
    path.write_text(before)
    found = corpus.prepare(planned, TOKENIZER, digest, Silent())
    assert np.bincount(found.tokens.ravel())[3] > np.bincount(found.tokens.ravel())[4]


def test_the_same_text_under_another_name_is_the_same_text(tmp_path: Path) -> None:
    one = bad(tmp_path, "one.txt", b"w1 w2")
    (tmp_path / "two.txt").hardlink_to(one)
    with pytest.raises(CorpusError, match=r"two.txt is named twice"):
        corpus_files((str(tmp_path),))


def test_a_folder_that_cannot_be_looked_through_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    bad(tmp_path, "one.txt", b"w1 w2")
    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(CorpusError, match=r"one.txt cannot be read: Permission denied"):
        corpus_files((str(tmp_path),))


def test_a_damaged_page_of_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "page.parquet"
    pq.write_table(
        pa.table({"text": ["w1 w2"] * 1000}), path, compression="none", use_dictionary=False
    )
    content = bytearray(path.read_bytes())
    content[100:2_000] = b"\xff" * 1_900
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"page.parquet is not a Parquet file, or damaged"):
        prepared(plan(path))


def test_a_missing_source_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text('{"text": "w1", "source": null}')
    assert [document.source for document in read_documents(corpus_files((str(path),)))] == ["some"]


def test_a_long_text_is_tokenised_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.txt"
    path.write_text("\n".join(f"w{number % 60} w1" for number in range(2_000)))
    whole = prepared(plan(path)).tokens
    monkeypatch.setattr("neurontab.measure.sequences.LONGEST_PIECE", 100)
    path.write_text(path.read_text() + "\n")  # another file, so that it is tokenised again
    assert np.array_equal(np.sort(prepared(plan(path)).tokens, axis=0), np.sort(whole, axis=0))
