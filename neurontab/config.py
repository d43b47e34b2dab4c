"""What a build is asked to do: models, text, how much of it, how to match; with two presets."""

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from neurontab.errors import ConfigError, nearest

EMBEDDED_TOKENS = 60_000  # the first command ends within four minutes on two cores
USUAL_TOKENS = 1_000_000  # for one's own models; all of a smaller corpus
LONGEST_CONTEXT = 512

_SUFFIXES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9}


def parse_count(text: object) -> object:
    """`100M`, `10_000_000` and `2.5K` as whole numbers; anything else as it is."""
    found = re.fullmatch(r"([\d_,]+(?:\.\d+)?)\s*([KMBG]?)", str(text).strip().upper())
    if not isinstance(text, str) or not found:
        return text
    count = Decimal(re.sub("[_,]", "", found[1])) * _SUFFIXES[found[2]]
    return int(count) if count == int(count) else text


Count = Annotated[int, BeforeValidator(parse_count), Field(ge=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Matching(_Settings):
    """How neurons of different models are compared."""

    mode: Literal["exact"] = "exact"
    k: int = Field(10, ge=1, description="matches kept for a neuron and other model")
    twins: int = Field(5, ge=1, description="twins kept for a neuron")
    draws: int = Field(4, ge=1, description="random rotations for the baseline")
    rotation: Literal["haar", "gaussian-rows"] = "haar"


class BuildConfig(_Settings):
    """Everything that decides what a build's tables hold.

    Without models, the embedded suite. `tokens` counts counted positions; None takes the usual
    number, `all` the whole corpus. `context` None takes the models' own, 512 at most.
    """

    models: tuple[str, ...] = ()
    corpus: tuple[str, ...] = ()
    tokens: Count | Literal["all"] | None = None
    context: int | None = Field(None, ge=8)
    mask_newlines: bool = False
    seed: int = Field(0, ge=0)
    device: str = "auto"
    batch_tokens: Count = 4_096
    block_tokens: Count = 8_192
    matching: Matching = Matching()


RECORDED = ("plan", "fingerprint")  # what a run's own config.toml holds besides

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"tokens": EMBEDDED_TOKENS},
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
    preset = preset or written.pop("preset", None)
    if preset is not None:
        if preset not in PRESETS:
            raise ConfigError(
                f"No preset {preset!r}; there are {', '.join(PRESETS)}."
                f"{nearest(preset, list(PRESETS))}"
            )
        settings = PRESETS[preset]
    by_hand = {name: value for name, value in given.items() if value not in (None, (), [])}
    for layer in (written, by_hand):
        settings = _merged(settings, layer)
    try:
        return BuildConfig.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(_explained(error, file)) from error


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


def _explained(error: ValidationError, file: Path | None) -> str:
    known = [*BuildConfig.model_fields, *Matching.model_fields]
    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"] if isinstance(part, str))
        hint = nearest(place, known) if problem["type"] == "extra_forbidden" else ""
        lines.append(f"  {place}: {problem['msg']}; found {problem['input']!r}.{hint}")
    where = f" in {file}" if file else ""
    return "\n".join([f"Settings that cannot be{where}:", *sorted(set(lines))])
