"""`python -m neurontab.suite.prepare FOLDER`: text and tokenizer, before any training.

FOLDER holds the releases (`python -m neurontab.suite.archives FOLDER`); the training text is
written into it. Held-out corpus, licences of what it is from and tokenizer come with the package.
"""

import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from neurontab.suite import CORPUS, FOLDER
from neurontab.suite.archives import archives, files
from neurontab.suite.recipe import BOS, RECIPE
from neurontab.suite.text import Document, digest, documents

TOKENIZER = FOLDER / "tokenizer"
LICENCES = FOLDER / "licences"
TRAINING = "training.parquet"  # in the folder of the releases
COMMON_LICENCES = Path("/usr/share/common-licenses")
NAMED_LICENCE = re.compile(rf"{COMMON_LICENCES}/([\w.+-]*\w)")
LICENCE = re.compile(r"^/[^/]+/(LICEN[SC]E|COPYING|MIT-LICENSE|COPYRIGHT)[^/]*$|/copyright$")


def prepare(folder: Path) -> None:
    """Writes both parts of the text (zstd Parquet: path, source, text) and the tokenizer.

    Raises CorpusError when a release is missing or another.
    """
    texts = documents(archives(), folder)
    training = [document for document in texts if not document.held_out]
    held_out = [document for document in texts if document.held_out]
    write_text(training, folder / TRAINING)
    write_text(held_out, CORPUS)
    write_licences({document.archive for document in held_out}, folder)
    write_tokenizer(training, TOKENIZER)
    facts = {"training": _facts(training), "held_out": _facts(held_out)}
    (FOLDER / "text.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def write_text(texts: list[Document], path: Path) -> None:
    """One row per document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        name: [getattr(document, name) for document in texts] for name in ("path", "source", "text")
    }
    pq.write_table(pa.table(columns), path, compression="zstd", compression_level=19)


def write_licences(names: set[str], folder: Path) -> None:
    """What the releases say of copyright and licence; one file for those that say the same.

    Beside them the licences that they only name, as Debian keeps them.
    """
    said: dict[str, list[str]] = {}
    for archive in archives():
        if archive.name in names:
            found = [
                content.decode("utf-8", errors="replace")
                for name, content in files(archive, folder)
                if LICENCE.search(name)
            ]
            assert found, archive.name
            said.setdefault("\n\n".join(found), []).append(archive.name)
    shutil.rmtree(LICENCES, ignore_errors=True)
    LICENCES.mkdir()
    for named in {name for text in said for name in NAMED_LICENCE.findall(text)}:
        shutil.copyfile(COMMON_LICENCES / named, LICENCES / f"{named}.txt")
    for text, of in said.items():
        (LICENCES / f"{of[0]}.txt").write_text(f"Of {', '.join(of)}:\n\n{text}", "utf-8")


def write_tokenizer(training: list[Document], folder: Path) -> None:
    """Byte-level BPE over the training documents, as files that transformers loads.

    Its alphabet are the bytes that occur there, so none is in the vocabulary untrained.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=RECIPE.d_vocab, special_tokens=[BOS], show_progress=False
    )
    tokenizer.train_from_iterator((document.text for document in training), trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": BOS,
        "model_max_length": RECIPE.n_ctx,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def _facts(texts: list[Document]) -> dict[str, object]:
    return {
        "documents": len(texts),
        "sha256": digest((document.path, document.text) for document in texts),
        "by_source": dict(sorted(Counter(document.source for document in texts).items())),
    }


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
