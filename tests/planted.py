"""A zoo: a GPT-2 whose weights are set, not trained, so that it is known what every neuron does.

The residual stream is divided into rooms, orthogonal to each other and to the mean that layer norms
take away: which token this is, which was before, how the text so far is on average, the position,
BOS, and what only one reader reads or nobody. Every weight below is written in coordinates of these
rooms, and a random rotation hides them.

Layer 0 has a head that copies the token before into its room, and one that averages the topic of
all tokens so far. Layer 1 has a head that attends to BOS as far as the room `attention` says. Other
heads are random and weak. Planted neurons stand at random places among distractors, whose input and
output vectors are random.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from tiny import BOS, Model
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

Vector = Float[Tensor, " coordinate"]
Neuron = tuple[Vector, float, Vector]  # what it reads, its bias, what it writes
Head = tuple[Tensor, Tensor, Tensor, Tensor]  # query, key, value, output

D_MODEL, D_MLP, HEADS, CONTEXT = 192, 128, 4, 48
WIDTH = D_MODEL // HEADS  # of a head, and of a room for tokens or positions
SIZE = D_MODEL**0.5  # length of a normalised stream

LETTERS = tuple("bcdfghjklmnpqrstvwxz")
STEMS = ("the", "of", "and", "to", "in", "for", "was", "on", "down", "were", "from", "into")
DIGITS = tuple("123456789")
STARTS = [a + b for a in ("ka", "lo", "mi", "nu", "pe", "so") for b in ("ra", "ti", "vo", "we")]
PLAIN = tuple(a + b for a in STARTS for b in ("bel", "dor", "fin", "gas", "hum", "jot", "kep"))
TOPICS = {"harbour": PLAIN[:56], "meadow": PLAIN[56:112]}  # words of each source's own


def spellings(stem: str) -> tuple[str, ...]:
    """All tokens of one word or letter."""
    return tuple(dict.fromkeys((stem, stem.capitalize(), stem.upper(), stem[0] + stem[1:].upper())))


WORDS = (
    *(each for letter in LETTERS for each in spellings(letter)),
    *(each for stem in STEMS for each in spellings(stem)),
    *DIGITS,
    *PLAIN,
)
IDS = {word: number for number, word in enumerate((BOS, "<unk>", *WORDS))}
WEIGHT = 1 / (60 + np.random.default_rng(0).permutation(len(WORDS)))  # of each word in all texts

ROOMS = {
    **{"token": WIDTH, "before": WIDTH, "position": CONTEXT},
    **{"average": 1, "bos": 1, "attention": 1, "unread": 2, "frequency": 1, "parts": 1},
}
FIRST = dict(zip(ROOMS, np.cumsum([0, *ROOMS.values()]).tolist(), strict=False))
COORDINATES = D_MODEL - 1  # all but the mean


@dataclass
class Zoo:
    """A model, and the label of every neuron that has one by (layer, neuron)."""

    model: Model
    families: dict[tuple[int, int], str] = field(default_factory=dict)
    features: dict[tuple[int, int], str] = field(default_factory=dict)  # that they are read from
    roles: dict[tuple[int, int], str] = field(default_factory=dict)


def tokenizer() -> PreTrainedTokenizerFast:
    """A word a token; id 0 begins every sequence."""
    made = Tokenizer(models.WordLevel(IDS, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token=BOS, unk_token="<unk>")


def save(zoo: Zoo, folder: Path) -> Path:
    """A folder that holds the model and its tokenizer."""
    zoo.model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def write_text(path: Path, documents: int = 40, tokens: int = 400) -> Path:
    """So many documents of each source: random words, each source's own ones often."""
    random = np.random.default_rng(1)
    lines = []
    for source, own in TOPICS.items():
        others = {word for topic in TOPICS.values() for word in topic} - set(own)
        share = WEIGHT * [2.5 if w in own else 0.4 if w in others else 1.0 for w in WORDS]
        for _ in range(documents):
            drawn = random.choice(WORDS, size=tokens, p=share / share.sum())
            lines.append(json.dumps({"source": source, "text": " ".join(drawn.tolist())}))
    path.write_text("\n".join(lines), "utf-8")
    return path


def zoo(seed: int) -> Zoo:
    """A random zoo: other embeddings, words, places and rotation with every seed."""
    return _Keeper(seed).zoo()


class _Keeper:
    """Builds one zoo in the coordinates of its rooms."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        ones = torch.ones(D_MODEL, 1)
        axes = torch.linalg.qr(torch.cat([ones, self.draw(D_MODEL, COORDINATES)], dim=1))[0]
        self.axes = axes[:, 1:]  # [d_model, coordinate]
        self.topic = self.unit(room="token")
        self.digit = self.unit(room="token")
        self.meaning = {  # what all spellings of a word have in common
            each: self.unit(room="token") for each in (*LETTERS, *STEMS)
        }
        words = [each for each in STEMS if len(spellings(each)) == 4]
        self.words = [words[n] for n in torch.randperm(len(words), generator=self.random)]
        self.letters = [LETTERS[n] for n in torch.randperm(len(LETTERS), generator=self.random)]

    def draw(self, *shape: int) -> Tensor:
        """Standard normal."""
        return torch.randn(*shape, generator=self.random)

    def unit(self, room: str | None = None) -> Vector:
        """A random direction, of one room or of all."""
        found = torch.zeros(COORDINATES)
        where = slice(None) if room is None else _of(room)
        found[where] = self.draw(len(found[where]))
        return torch.nn.functional.normalize(found, dim=0)

    def zoo(self) -> Zoo:
        """The whole model."""
        made = Zoo(_blank())
        with torch.no_grad():
            stack = made.model.transformer
            stack.wte.weight.copy_(self.embedding() @ self.axes.T)
            positions = 0.2 * _basis("position")
            stack.wpe.weight.copy_(positions @ self.axes.T)
            for block in stack.h:
                for norm in (block.ln_1, block.ln_2):
                    norm.weight.copy_((0.3 * self.draw(D_MODEL)).exp())
            stack.ln_f.weight.copy_((0.3 * self.draw(D_MODEL)).exp())
            stack.ln_f.bias.copy_(4 * self.axes @ _axis("frequency"))
            unembed = self.unembedding()
            made.model.lm_head.weight.copy_(unembed @ self.axes.T / stack.ln_f.weight)
            self.heads(stack.h[0], [self.copy_before, self.average_topic])
            self.heads(stack.h[1], [self.attend_to_bos])
            self.neurons(made, 0, self.responding() | self.attending())
            self.neurons(made, 1, self.writing(unembed))
        return made

    def embedding(self) -> Float[Tensor, "token coordinate"]:
        """Length 1: something in common with the word, the topic or digits, the rest its own."""
        rows = [_axis("bos"), self.unit(room="token")]
        topic_of = {word: sign * self.topic for sign, own in _topics() for word in own}
        topic_of |= dict.fromkeys(DIGITS, self.digit)
        for word in WORDS:
            common = self.meaning.get(word.lower(), topic_of.get(word))
            own = self.unit(room="token")
            share = 0.4 if word.lower() in self.meaning else 1.5 if word in PLAIN else 1
            rows.append(own if common is None else common + share * own)
        table = torch.stack(rows)
        return torch.nn.functional.normalize(table, dim=1)

    def unembedding(self) -> Float[Tensor, "token coordinate"]:
        """Random rows, but for what is not read, log frequency, and two halves of the tokens."""
        rows = 0.1 * self.draw(len(IDS), COORDINATES)
        often = torch.from_numpy(np.log(WEIGHT)).float()
        often = torch.cat([often[:1], often[:1], (often - often.mean()) / often.std()])
        half = torch.randint(2, (len(IDS),), generator=self.random) - 0.5
        rows[:, _of("unread")] = 0
        rows[:, _of("frequency")] = 0.25 * often[:, None]
        rows[:, _of("parts")] = half[:, None]
        return rows

    # Heads: query and key [coordinate, width], value likewise, output
    # [width, coordinate].

    def copy_before(self) -> Head:
        """Position p looks for position p - 1; the token there is copied."""
        position, token = _basis("position").T, _basis("token").T
        looks_for = torch.cat([position[:, 1:], torch.zeros(COORDINATES, 1)], dim=1)
        copied = 0.35 / SIZE * _basis("before")
        return 4 * looks_for, 4 * position, token, copied

    def average_topic(self) -> Head:
        """Looks everywhere alike."""
        nothing = torch.zeros(COORDINATES, WIDTH)
        value, out = nothing.clone(), nothing.T.clone()
        value[:, 0] = self.topic
        out[0] = 0.3 * _axis("average") / SIZE
        return nothing, nothing, value, out

    def attend_to_bos(self) -> Head:
        """The more to BOS, the more there is in the room of attention."""
        query, key = torch.zeros(COORDINATES, WIDTH), torch.zeros(COORDINATES, WIDTH)
        query[:, 0], key[:, 0] = _axis("attention"), _axis("bos")
        return query, key, *self.weak_head()[2:]

    def weak_head(self) -> Head:
        """Random."""
        query, key, value = 0.02 * self.draw(3, COORDINATES, WIDTH)
        return query, key, value, 0.005 * self.draw(WIDTH, COORDINATES)

    def heads(self, block: Model, planted: list[Callable[[], Head]]) -> None:
        """Writes the heads of a layer."""
        weak = [self.weak_head] * (HEADS - len(planted))
        query, key, value, out = zip(*(each() for each in (*planted, *weak)), strict=True)
        read = torch.cat([*query, *key, *value], dim=1)
        block.attn.c_attn.weight.copy_(self.axes @ read / block.ln_1.weight[:, None])
        block.attn.c_proj.weight.copy_(torch.cat(out) @ self.axes.T)

    # Neurons: label, evidence, input vector, bias, output vector; a label begins with its kind.

    def responding(self) -> dict[str, Neuron]:
        """What is active where a token, a position or a text is."""
        ramp = torch.linspace(-1, 1, CONTEXT) @ _basis("position")
        start = torch.where(torch.arange(CONTEXT) < 8, 1.0, -0.3) @ _basis("position")
        quiet = [_axis("bos") + 0.05 * self.unit() for _ in range(2)]
        found = {
            **{f"unigram unigram_{w}": (16 * self.meaning[w], -9.0) for w in self.words[:3]},
            **{f"alphabet letter_{w}": (16 * self.meaning[w], -9.0) for w in self.letters[:3]},
            **{
                f"previous_token unigram_{w}": (45 * self.before(self.meaning[w]), -9.0)
                for w in self.words[3:6]
            },
            **{f"syntax digits {n}": ((20 + n) * self.digit, -10.0) for n in range(2)},
            "position ramp": (20 * ramp, 0.0),
            "position start": (20 * start, 0.0),
            "context harbour": (50 * _axis("average"), 0.0),
            "context meadow": (-50 * _axis("average"), 0.0),
            **{f"bos {n}": (10 * each, -3.0) for n, each in enumerate(quiet)},
        }
        return {name: (*each, 0.01 * self.unit()) for name, each in found.items()}

    def attending(self) -> dict[str, Neuron]:
        """What moves the attention of the head in layer 1."""
        up = 0.3 * _axis("attention")
        signs = {"attention_deactivation": up, "attention_activation": -up}
        return {f"{kind} {n}": self.any(w) for kind, w in signs.items() for n in range(2)}

    def writing(self, unembed: Float[Tensor, "token coordinate"]) -> dict[str, Neuron]:
        """What does something to the logits."""
        read = unembed - unembed.mean(dim=0)
        read[:, FIRST["unread"] :] *= torch.arange(COORDINATES - FIRST["unread"]) >= 4
        read = 0.1 * read / read.norm(dim=1, keepdim=True)
        some = 2 + torch.randperm(len(WORDS), generator=self.random)
        unread = 0.5 * _basis("unread")
        return {
            **{f"prediction {n}": self.any(read[some[n]]) for n in range(3)},
            **{f"suppression {n}": self.any(-read[some[n]]) for n in range(3, 6)},
            **{f"partition {n}": self.any(n * 0.1 * _axis("parts")) for n in (-1, 1)},
            **{f"entropy {n}": self.any(unread[n]) for n in range(2)},
            **{f"frequency {n}": self.any(n * 0.3 * _axis("frequency")) for n in (-1, 1)},
        }

    def any(self, out: Vector) -> Neuron:
        """Active at random tokens."""
        return 1.2 * SIZE * self.unit(), -0.3, out

    def before(self, token: Vector) -> Vector:
        """The same direction in the room of the token before."""
        found = torch.zeros(COORDINATES)
        found[_of("before")] = token[_of("token")]
        return found

    def neurons(self, made: Zoo, layer: int, planted: dict[str, Neuron]) -> None:
        """Writes the neurons of a layer at random places, distractors around them."""
        block = made.model.transformer.h[layer]
        places = torch.randperm(D_MLP, generator=self.random).tolist()
        rest = {f"- {n}": self.any(0.05 * self.unit()) for n in range(D_MLP - len(planted))}
        for place, (name, (read, bias, written)) in zip(
            places, (planted | rest).items(), strict=True
        ):
            kind, evidence = name.split(" ", 1)
            block.mlp.c_fc.weight[:, place] = self.axes @ read / SIZE / block.ln_2.weight
            block.mlp.c_fc.bias[place] = bias
            block.mlp.c_proj.weight[place] = self.axes @ written
            if kind in FAMILY_KINDS:
                made.families[layer, place] = kind
                made.features[layer, place] = evidence
            elif kind != "-":
                made.roles[layer, place] = kind


FAMILY_KINDS = ("unigram", "alphabet", "previous_token", "syntax", "position", "context", "bos")


def _blank() -> Model:
    config = GPT2Config(
        n_layer=2,
        n_embd=D_MODEL,
        n_inner=D_MLP,
        n_head=HEADS,
        n_positions=CONTEXT,
        vocab_size=len(IDS),
        bos_token_id=0,
        eos_token_id=0,
        tie_word_embeddings=False,
    )
    return GPT2LMHeadModel(config).eval()


def _topics() -> list[tuple[float, tuple[str, ...]]]:
    return list(zip((1.0, -1.0), TOPICS.values(), strict=True))


def _of(room: str) -> slice:
    """A room's coordinates."""
    return slice(FIRST[room], FIRST[room] + ROOMS[room])


def _basis(room: str) -> Float[Tensor, "direction coordinate"]:
    """The directions of a room."""
    return torch.eye(COORDINATES)[_of(room)]


def _axis(room: str) -> Vector:
    """The only direction of a room."""
    return _basis(room)[0]
