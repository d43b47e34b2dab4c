"""The tokenizer that all models of a family share, and its tokens as text and bytes."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from neurontab.errors import ModelError
from neurontab.measure.columns import Columns

LOSSY = {"encoding": "utf-8", "errors": "replace"}  # a decoder may take a space off the beginning
RULES = ("model", "normalizer", "pre_tokenizer", "added_tokens")


def shared_digest(tokenizers: Mapping[str, Tokenizer]) -> str:
    """Identifies the family's one tokenizer, by vocabulary and merges.

    Raises ModelError that tells sizes and the first entry that differs when there is more than one.
    """
    (first, reference), *others = tokenizers.items()
    for name, tokenizer in others:
        if rules_of(tokenizer) != rules_of(reference):
            difference = first_difference(reference, tokenizer)
            raise ModelError(
                f"{first} and {name} do not share a tokenizer: {difference}\n"
                "Compare models of one family."
            )
    return hashlib.sha256(json.dumps(rules_of(reference), sort_keys=True).encode()).hexdigest()


def rules_of(tokenizer: Tokenizer) -> dict[str, Any]:
    """What decides how text is cut: not what is added around it, nor how it is padded."""
    return {rule: json.loads(tokenizer.to_str())[rule] for rule in RULES}


def first_difference(one: Tokenizer, other: Tokenizer) -> str:
    """Sizes of two vocabularies and the lowest token id at which they differ."""
    sizes = f"vocabularies of {one.get_vocab_size():,} and {other.get_vocab_size():,}"
    for token_id in range(max(n_ids(one), n_ids(other))):
        entries = one.id_to_token(token_id), other.id_to_token(token_id)
        if entries[0] != entries[1]:
            return f"{sizes}; token {token_id} is {entries[0]!r} and {entries[1]!r}."
    rules = rules_of(one), rules_of(other)
    differ = [rule for rule in RULES if rules[0][rule] != rules[1][rule]]
    return f"{sizes}, alike, but not in {', '.join(differ)}."


def n_ids(tokenizer: Tokenizer) -> int:
    """One more than the highest token id; ids may have gaps."""
    return max(tokenizer.get_vocab().values()) + 1


def newline_ids(tokenizer: Tokenizer) -> set[int]:
    """The tokens that are a single newline."""
    return {i for i in range(n_ids(tokenizer)) if tokenizer.decode([i]) == "\n"}


def vocabulary(
    tokenizer: Tokenizer, special_ids: list[int], counts: npt.NDArray[np.int64]
) -> Columns:
    """Table `vocabulary`: every token of the tokenizer with its count in the corpus."""
    ids = np.arange(n_ids(tokenizer), dtype=np.int32)
    special = set(special_ids)
    spell = _byte_level if "ByteLevel" in json.dumps(rules_of(tokenizer)) else _sentence_piece
    raw = [b"" if i in special else spell(tokenizer.id_to_token(i) or "") for i in ids.tolist()]
    texts = [
        tokenizer.decode([i], skip_special_tokens=False) if i in special else each.decode(**LOSSY)
        for i, each in zip(ids.tolist(), raw, strict=True)
    ]
    return {
        "token_id": ids,
        "text": np.array(texts, dtype=object),
        "bytes": np.array(raw, dtype=object),
        "n": counts[: len(ids)],
    }


def _byte_level(token: str) -> bytes:
    """A token of a byte-level tokenizer, which writes each byte as one character."""
    if all(character in _BYTE_OF for character in token):
        return bytes(_BYTE_OF[character] for character in token)
    return token.encode()  # added as it stands, beside the alphabet


def _sentence_piece(token: str) -> bytes:
    """A token of any other tokenizer: UTF-8, with a mark for spaces and names for lone bytes."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes.fromhex(token[3:-1])
    return token.replace("▁", " ").encode()


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's way to write each byte as one printable character."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    written = {chr(byte): byte for byte in printable}
    return written | {chr(256 + number): byte for number, byte in enumerate(rest)}


_BYTE_OF = _byte_level_alphabet()
