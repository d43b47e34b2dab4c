"""Tokens as text and bytes, for every kind of tokenizer."""

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from neurontab import suite
from neurontab.measure.models import load_tokenizer
from neurontab.measure.vocabulary import newline_ids, vocabulary


def test_byte_level_tokens_spell_the_text_they_came_from() -> None:
    tokenizer, bos, special = load_tokenizer(suite.models()[0])
    columns = vocabulary(tokenizer, special, np.zeros(4_096, np.int64))
    raw = columns["bytes"]
    text = "def f(x):\n\treturn 'é' # \u2013\n"
    assert b"".join(raw[i] for i in tokenizer.encode(text).ids).decode() == text
    assert raw[bos] == b""
    assert len(set(raw)) == 4_096
    (newline,) = newline_ids(tokenizer)
    assert (columns["text"][newline], raw[newline]) == ("\n", b"\n")


@pytest.mark.parametrize(
    ("token", "raw"),
    [("<0x0A>", b"\n"), ("é", "é".encode()), ("▁the", b" the"), ("▁é", " é".encode())],
)
def test_sentence_pieces_are_utf_8_with_marked_spaces(token: str, raw: bytes) -> None:
    made = Tokenizer(models.BPE({token: 0}, [], byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    found = vocabulary(made, [], np.zeros(1, np.int64))
    assert (found["bytes"][0], found["text"][0]) == (raw, raw.decode())
