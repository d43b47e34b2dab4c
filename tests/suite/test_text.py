"""From releases to documents: small archives drawn, documents found."""

import gzip
import hashlib
import io
import struct
import tarfile
import zlib
from pathlib import Path

import pytest

from neurontab.errors import CorpusError
from neurontab.suite.archives import Archive
from neurontab.suite.novels import DATA, TITLES, novels
from neurontab.suite.text import LONGEST, Document, documents
from neurontab.suite.train import training_text


def code(name: str, lines: int = 60) -> str:
    """A text of distinct lines."""
    return "".join(f"{name} says its line, the one named {'x' * n}.\n" for n in range(lines))


def archive(
    folder: Path, name: str, files: dict[str, str | bytes], held_out: bool = False
) -> Archive:
    """A release with these files, as its source comes."""
    path = folder / f"{name}.orig.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for file, content in files.items():
            raw = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(f"./{name}-1.0/{file}")
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    return Archive(name, path.name, hashlib.sha256(path.read_bytes()).hexdigest(), held_out)


def found(folder: Path, *releases: Archive) -> dict[str, Document]:
    """Documents by the last part of their path."""
    return {Path(each.path).name: each for each in documents(releases, folder)}


def test_a_file_is_of_the_kind_that_its_name_says(tmp_path: Path) -> None:
    release = archive(
        tmp_path,
        "thing",
        {
            "a.py": code("python"),
            "b.cc": code("c"),
            "c.mjs": code("script"),
            "d.rb": code("ruby"),
            "docs/e.txt": code("documentation"),
            "f.txt": code("nothing"),
            "usr/share/man/de/man1/g.1.gz": gzip.compress(code("manual").encode()),
            "usr/share/man/man1/h.1.gz": gzip.compress(code("english").encode()),
        },
    )
    assert {name: each.source for name, each in found(tmp_path, release).items()} == {
        "a.py": "python",
        "b.cc": "c",
        "c.mjs": "javascript",
        "d.rb": "ruby",
        "e.txt": "documentation",
        "g.1.gz": "manual",
    }


def test_what_was_not_written_by_hand_is_left_out(tmp_path: Path) -> None:
    release = archive(
        tmp_path,
        "thing",
        {
            "good.py": code("good"),
            "short.py": code("short", 2),
            "long_line.py": code("long") + "y" * 400,
            "data.py": code("data") + "0123456789\n" * 100,
            "other_script.py": code("script") + "\u4e2d\n",
        },
    )
    assert list(found(tmp_path, release)) == ["good.py"]


def test_a_document_is_whole_lines_from_the_middle(tmp_path: Path) -> None:
    text = code("long", 200)
    release = archive(tmp_path, "thing", {"long.py": text})
    part = found(tmp_path, release)["long.py"].text
    assert LONGEST - 300 < len(part) <= LONGEST
    before, after = text.split(part)
    assert before.endswith("\n")
    assert abs(len(before) - len(after)) < 600


def test_a_document_that_was_seen_in_training_is_not_held_out(tmp_path: Path) -> None:
    training = archive(tmp_path, "one", {"a.py": code("a"), "b.py": code("b")})
    held_out = archive(
        tmp_path, "two", {"copied.py": code("a"), "own.py": code("mine")}, held_out=True
    )
    documents = found(tmp_path, training, held_out)
    assert set(documents) == {"a.py", "b.py", "own.py"}
    assert [name for name, each in documents.items() if each.held_out] == ["own.py"]


def test_code_of_others_is_not_held_out(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"own.py": code("mine"), "third_party/x/of.py": code("his")}
    training = archive(tmp_path, "one", {"a.py": code("a")})
    held_out = archive(tmp_path, "two", files, held_out=True)
    assert set(found(tmp_path, training, held_out)) == {"a.py", "own.py"}
    assert set(found(tmp_path, archive(tmp_path, "three", files))) == {"own.py", "of.py"}


def test_what_is_held_out_has_no_byte_that_training_has_not(tmp_path: Path) -> None:
    training = archive(tmp_path, "one", {"a.py": code("a \u00e9")})
    texts: dict[str, str | bytes] = {"same.py": code("e \u00e9"), "other.py": code("o \u00fd")}
    held_out = archive(tmp_path, "two", texts, held_out=True)
    assert set(found(tmp_path, training, held_out)) == {"a.py", "same.py"}


def test_another_release_of_the_same_name_is_refused(tmp_path: Path) -> None:
    release = archive(tmp_path, "thing", {"a.py": code("a")})
    (tmp_path / release.file).write_bytes(b"other")
    with pytest.raises(CorpusError, match=r"thing\.orig\.tar\.gz is missing, or not the release"):
        documents([release], tmp_path)


def test_novels_come_in_parts_between_paragraphs() -> None:
    def record(lines: list[str]) -> bytes:
        strings = b"".join(struct.pack(">II", 9, len(s)) + s.encode() for s in lines)
        raw = b"X\n" + bytes(21) + struct.pack(">II", 16, len(lines)) + strings
        return struct.pack(">I", len(raw)) + zlib.compress(raw)

    lines = ["One.", "", "Two", "lines.", "", "Three."]
    content = b"".join(record([f"{title}:", "", *lines]) for title in TITLES)
    parts = list(novels([("/x", b""), (f"/y{DATA}", content)], 16))
    assert [(number, text) for title, number, text in parts if title == "Emma"] == [
        (0, "Emma:\n\nOne.\n\n"),
        (1, "Two\nlines.\n\n"),
        (2, "Three.\n\n"),
    ]
    assert {title for title, _, _ in parts} == set(TITLES)


def test_a_seed_is_never_trained_on_other_text_than_its_sisters(tmp_path: Path) -> None:
    import polars as pl

    path = tmp_path / "training.parquet"
    with pytest.raises(CorpusError, match=f"Make it with: .* {tmp_path}"):
        training_text(path)
    pl.DataFrame({"path": ["a.py"], "text": ["x = 1"]}).write_parquet(path)
    with pytest.raises(CorpusError, match=r"digest [0-9a-f]{12}, the suite was trained on"):
        training_text(path)
