"""What a build is asked to do: models, text, how much of it, how to match; with two presets."""

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from neurontab.errors import ConfigError, nearest

EMBEDDED_TOKENS = 60_000  # the first command ends within four minutes on two cores
USUAL_TOKENS = 1_000_000  # for one's own models; all of a smaller corpus
LONGEST_CONTEXT = 512

_SUFFIXES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9}
_COUNT = re.compile(r"(\d{1,3}(?:,\d{3})+|[\d_]+(?:\.\d+)?)\s*([KMBG]?)")


def parse_count(written: object) -> int:
    """`100M`, `10_000_000`, `1,000` and `2.5K` as whole numbers of at least 1.

    Raises ValueError for anything else.
    """
    found = _COUNT.fullmatch(str(written).strip().upper())
    count = Decimal(re.sub("[_,]", "", found[1])) * _SUFFIXES[found[2]] if found else Decimal(0)
    if isinstance(written, bool) or count < 1 or count != int(count):
        raise ValueError("not a whole number such as 60000, 60_000, 60K or 100M")
    return int(count)


def parse_tokens(written: object) -> object:
    """A count, or `all`. Raises ValueError for anything else but None."""
    return written if written in ("all", None) else parse_count(written)


_UNITS = {None: 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_BYTES = re.compile(r"([\d_]+(?:\.\d+)?)\s*(?:([KMGT])(?:I?B)?|B)?")


def parse_bytes(written: object) -> int | None:
    """`16G`, `16GiB` and `1.5T`, in powers of 1,024, as a number of bytes.

    Raises ValueError for anything else but None.
    """
    if written is None:
        return None
    found = _BYTES.fullmatch(str(written).strip().upper())
    number = found[1].replace("_", "") if found else ""
    count = int(Decimal(number) * _UNITS[found[2]]) if found and number else 0
    if isinstance(written, bool) or count < 1:
        raise ValueError("not a size such as 16G, 16GiB or 800M")
    return count


Count = Annotated[int, BeforeValidator(parse_count)]
Bytes = Annotated[int | None, BeforeValidator(parse_bytes)]
Tokens = Annotated[int | Literal["all"] | None, BeforeValidator(parse_tokens)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Matching(_Settings):
    """How neurons of different models are compared."""

    mode: Literal["auto", "sketch", "exact"] = "auto"
    products: Literal["float32", "bfloat16"] = "float32"
    k: int = Field(10, ge=1, description="matches kept for a neuron and other model")
    twins: int = Field(5, ge=1, description="twins kept for a neuron")
    draws: int = Field(4, ge=1, description="random rotations for the baseline")
    rotation: Literal["haar", "gaussian-rows"] = "haar"

    @model_validator(mode="after")
    def _certificates_hold(self) -> Self:
        if self.mode == "sketch" and self.products != "float32":
            raise ValueError("sketches settle matches by products in float32; use mode exact")
        return self

    @property
    def planned_mode(self) -> Literal["auto", "sketch", "exact"]:
        """The mode, which rounded products decide."""
        return self.mode if self.products == "float32" else "exact"


class BuildConfig(_Settings):
    """Everything that decides what a build's tables hold.

    Without models, the embedded suite. `tokens` counts counted positions; None takes the usual
    number, `all` the whole corpus. `context` None takes the models' own, 512 tokens at most.
    """

    models: tuple[str, ...] = ()
    corpus: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()  # files of labels by sequence and position
    tokens: Tokens = None
    context: int | None = Field(None, ge=8)
    mask_newlines: bool = False
    seed: int = Field(0, ge=0, lt=2**32)
    device: str = "auto"
    batch_tokens: Count = 4_096
    block_tokens: Count = 8_192
    activations: int = Field(2_048, ge=0)  # counted positions at which all activations are kept
    ablations: int = Field(4_096, ge=0)  # positions at which neurons of the last layer are ablated
    memory: Bytes = None  # that may be used; None: most of what is free
    checkpoint_seconds: float = Field(120.0, ge=0)  # between two states of a pass on disk
    matching: Matching = Matching()


RECORDED = ("neurontab", "plan", "fingerprint")  # what a run's own config.toml holds besides

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"tokens": EMBEDDED_TOKENS, "matching": {"mode": "exact"}},
    "paper": {
        "tokens": 100_000_000,
        "context": 512,
        "mask_newlines": True,
        "matching": {"rotation": "gaussian-rows", "draws": 1},
    },
}


def resolve(file: Path | None = None, preset: str | None = None, **given: object) -> BuildConfig:
    """A config from a preset, a TOML file over it, and options given by hand over both.

    Raises ConfigError that lists every wrong key with what was found.
    """
    settings: dict[str, Any] = {}
    written = _read(file) if file else {}
    named = written.pop("preset", None)
    preset = preset or named
    if preset is not None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ConfigError(
                f"No preset {preset!r}; there are {', '.join(PRESETS)}."
                f"{nearest(str(preset), list(PRESETS))}"
            )
        settings = PRESETS[preset]
    by_hand = {name: value for name, value in given.items() if value not in (None, (), [])}
    for layer in (written, by_hand):
        settings = _merged(settings, layer)
    try:
        return BuildConfig.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(_explained(error, file, by_hand)) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        written = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"No config file {file}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise ConfigError(f"{file} is not a TOML file: {error}") from error
    return {name: value for name, value in written.items() if name not in RECORDED}


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {**below, **above}
    for name in below.keys() & above.keys():
        if isinstance(below[name], dict) and isinstance(above[name], dict):
            both[name] = _merged(below[name], above[name])
    return both


def _explained(error: ValidationError, file: Path | None, by_hand: Mapping[str, object]) -> str:
    """Every wrong setting, under the place where it stands."""
    known = [*BuildConfig.model_fields, *Matching.model_fields]
    lines: dict[str, set[str]] = {}
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"] if isinstance(part, str))
        hint = nearest(place, known) if problem["type"] == "extra_forbidden" else ""
        what = problem["msg"].removeprefix("Value error, ")
        where = f" in {file}" if file and not by_hand.keys() & {*problem["loc"][:1]} else ""
        found = f"  {place}: {what}; found {problem['input']!r}.{hint}"
        lines.setdefault(f"Settings that cannot be{where}:", set()).add(found)
    return "\n".join(line for where, each in lines.items() for line in (where, *sorted(each)))
