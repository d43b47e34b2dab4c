"""`python -m neurontab.suite.prepare`: held-out corpus and tokenizer, before any training."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from neurontab.suite import CORPUS, FOLDER
from neurontab.suite.recipe import BOS, RECIPE
from neurontab.suite.text import Document, digest, documents

TOKENIZER = FOLDER / "tokenizer"


def prepare() -> None:
    """Writes the held-out corpus (zstd Parquet: path, source, text) and the tokenizer."""
    texts = documents()
    training = [document for document in texts if not document.held_out]
    held_out = [document for document in texts if document.held_out]
    write_corpus(held_out, CORPUS)
    write_tokenizer(training, TOKENIZER)
    facts = {
        "training": {"documents": len(training), "sha256": digest(training)},
        "held_out": {"documents": len(held_out), "sha256": digest(held_out)},
    }
    (FOLDER / "text.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def write_corpus(held_out: list[Document], path: Path) -> None:
    """One row per document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "path": [document.path for document in held_out],
            "source": [document.source for document in held_out],
            "text": [document.text for document in held_out],
        }
    )
    pq.write_table(table, path, compression="zstd", compression_level=19)


def write_tokenizer(training: list[Document], folder: Path) -> None:
    """Byte-level BPE over the training documents, as files that transformers loads."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=RECIPE.d_vocab,
        special_tokens=[BOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
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


if __name__ == "__main__":
    prepare()
