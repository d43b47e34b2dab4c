"""The tokenizer that all models of a family share, and its tokens as text and bytes."""

import hashlib
import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from neurontab.errors import ModelError
from neurontab.measure.columns import Columns


def shared_digest(tokenizers: Mapping[str, Tokenizer]) -> str:
    """Identifies the family's one tokenizer, by vocabulary and merges.

    Raises ModelError that tells sizes and the first entry that differs when there is more than one.
    """
    (first, reference), *others = tokenizers.items()
    for name, tokenizer in others:
        if model_of(tokenizer) != model_of(reference):
            difference = first_difference(reference, tokenizer)
            raise ModelError(
                f"{first} and {name} do not share a tokenizer: {difference}\n"
                "Compare models of one family."
            )
    return hashlib.sha256(model_of(reference).encode()).hexdigest()


def model_of(tokenizer: Tokenizer) -> str:
    """Vocabulary and merges as text; what is added before or behind a text does not count."""
    return json.dumps(json.loads(tokenizer.to_str())["model"], sort_keys=True)


def first_difference(one: Tokenizer, other: Tokenizer) -> str:
    """Sizes of two vocabularies and the lowest token id at which they differ."""
    sizes = f"vocabularies of {one.get_vocab_size():,} and {other.get_vocab_size():,}"
    for token_id in range(max(one.get_vocab_size(), other.get_vocab_size())):
        entries = one.id_to_token(token_id), other.id_to_token(token_id)
        if entries[0] != entries[1]:
            return f"{sizes}; token {token_id} is {entries[0]!r} and {entries[1]!r}."
    return f"{sizes}, alike, but with different merges."


def newline_ids(tokenizer: Tokenizer) -> set[int]:
    """The tokens that are a single newline."""
    return {i for i in range(tokenizer.get_vocab_size()) if tokenizer.decode([i]) == "\n"}


def vocabulary(
    tokenizer: Tokenizer, special_ids: list[int], counts: npt.NDArray[np.int64]
) -> Columns:
    """Table `vocabulary`: every token of the tokenizer with its count in the corpus."""
    ids = np.arange(tokenizer.get_vocab_size(), dtype=np.int32)
    special = set(special_ids)
    texts = [tokenizer.decode([i], skip_special_tokens=False) for i in ids.tolist()]
    raw = [b"" if i in special else _bytes(tokenizer.id_to_token(i)) for i in ids.tolist()]
    return {
        "token_id": ids,
        "text": np.array(texts, dtype=object),
        "bytes": np.array(raw, dtype=object),
        "n": counts[: len(ids)],
    }


def _bytes(token: str | None) -> bytes:
    """A token's bytes: byte-level alphabets spell them, sentence pieces are UTF-8."""
    if token is None:
        return b""
    if all(character in _BYTE_OF for character in token):
        return bytes(_BYTE_OF[character] for character in token)
    if token.startswith("<0x") and token.endswith(">"):
        return bytes.fromhex(token[3:-1])
    return token.replace("▁", " ").encode()


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's way to write each byte as one printable character."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    written = {chr(byte): byte for byte in printable}
    return written | {chr(256 + number): byte for number, byte in enumerate(rest)}


_BYTE_OF = _byte_level_alphabet()
