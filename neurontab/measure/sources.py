"""Where a model is: a folder, or a name on the hub; in either case a folder to load from."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from neurontab.errors import ModelError

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@-]*[A-Za-z0-9])?")
LONGEST_NAME = 100  # two of them are in the name of a file
BETWEEN = "--"  # stands between two models' names in the name of a file
FILES = ["*.json", "*.safetensors", "*.model", "*.txt"]
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model")


@dataclass(frozen=True)
class ModelSource:
    """A model as the user names it: `[NAME=]SOURCE[@REVISION]`."""

    name: str
    source: str
    revision: str | None

    @property
    def is_folder(self) -> bool:
        """Whether the source is on this machine rather than on the hub."""
        return Path(self.source).is_dir()


def parse_sources(specs: tuple[str, ...]) -> list[ModelSource]:
    """All models of a family, with names that are unique.

    Raises ModelError for a bad or a doubled name.
    """
    sources = [parse_source(spec) for spec in specs]
    names = [source.name for source in sources]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ModelError(
            f"Several models are called {', '.join(doubled)}.\n"
            "Give each its own name: --model NAME=SOURCE."
        )
    return sources


def parse_source(spec: str) -> ModelSource:
    """One model; a folder's path may itself hold `=` and `@`.

    Raises ModelError for what cannot be a name.
    """
    name, source, revision = "", spec, ""
    if not Path(source).is_dir() and "=" in source:
        name, _, source = source.partition("=")
    if not Path(source).is_dir() and "@" in source:
        source, _, revision = source.rpartition("@")
    last = Path(source).resolve().name if Path(source).is_dir() else source.rpartition("/")[2]
    name = name or (f"{last}@{revision}" if revision else last)
    if not NAME.fullmatch(name) or BETWEEN in name or len(name) > LONGEST_NAME:
        raise ModelError(
            f"{name!r} cannot be a model's name: letters and digits, between them . _ @ -, "
            f"no {BETWEEN}, and {LONGEST_NAME} characters at most.\n"
            f"Give it one: --model NAME={spec}."
        )
    return ModelSource(name, source, revision or None)


def folder_of(source: ModelSource) -> Path:
    """The folder that holds the model's files; for a hub name, after fetching what is missing.

    Raises ModelError when there is no such model, or it has no weights or no tokenizer.
    """
    folder = Path(source.source) if source.is_folder else _from_hub(source)
    if source.is_folder and source.revision:
        raise ModelError(
            f"{source.source} is a folder and has no revision {source.revision!r}.\n"
            "Name the folder alone."
        )
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is not a model: it has no config.json.")
    _refuse_other_weights(folder)
    if not weight_files(folder):
        raise ModelError(
            f"{folder} has no weights: neither model.safetensors nor pytorch_model.bin.\n"
            "Save the model with save_pretrained."
        )
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"{folder} has no tokenizer: none of {', '.join(TOKENIZER_FILES)}.\n"
            "Save the tokenizer into the same folder with save_pretrained."
        )
    return folder


def weight_files(folder: Path) -> list[Path]:
    """The files that weights are loaded from, index first; none when there are no weights.

    As transformers chooses: safetensors before PyTorch's own, one file before several. Raises
    ModelError for an index that is damaged or names a file that is missing.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return [folder / name]
        if (folder / f"{name}.index.json").is_file():
            return _with_shards(folder / f"{name}.index.json")
    return []


def _refuse_other_weights(folder: Path) -> None:
    """Raises ModelError where transformers would load more, or other files, than `weight_files`."""
    if (folder / "adapter_config.json").exists():
        raise ModelError(f"{folder} holds an adapter.\nMerge it into the model, and save that.")
    try:
        named = json.loads((folder / "config.json").read_text("utf-8")).get("transformers_weights")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be loaded: {error}") from error
    if named is not None:
        raise ModelError(
            f"{folder}: its config.json names weights of its own, {named!r}.\n"
            "Save the model again with save_pretrained."
        )


def _with_shards(index: Path) -> list[Path]:
    try:
        named = json.loads(index.read_text("utf-8"))["weight_map"].values()
        shards = [index.parent / name for name in sorted(set(named))]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError(f"{index} is damaged: {type(error).__name__}: {error}") from error
    for shard in shards:
        if not shard.is_file():
            raise ModelError(f"{index} names {shard.name}, which is missing.\nFetch it again.")
    return [index, *shards]


def _from_hub(source: ModelSource) -> Path:
    """Fetches from the hub, or from its cache alone when HF_HUB_OFFLINE is set."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    wanted = f"{source.source}@{source.revision}" if source.revision else source.source
    remedy = "Name a folder that holds the model, or a hub name such as gpt2 or org/model@revision."
    try:
        folder = Path(
            snapshot_download(source.source, revision=source.revision, allow_patterns=FILES)
        )
        if not weight_files(folder):
            snapshot_download(
                source.source, revision=source.revision, allow_patterns="pytorch_model*.bin"
            )
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise ModelError(f"No folder and no hub model {wanted!r}.\n{remedy}") from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"{wanted!r} is no folder, and cannot be had from the hub: "
            f"{str(error).splitlines()[0]}\n{remedy}"
        ) from error
    return folder
