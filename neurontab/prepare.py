"""Before anything is measured: the models are loaded, the text is tokens, the plan is known."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from neurontab import suite
from neurontab.config import EMBEDDED_TOKENS, LONGEST_CONTEXT, USUAL_TOKENS, BuildConfig
from neurontab.device import device_of
from neurontab.errors import ConfigError, ModelError
from neurontab.folder import OURS, fingerprint_of, run_id_of
from neurontab.measure import corpus
from neurontab.measure.calibration import calibrated
from neurontab.measure.corpus import Corpus
from neurontab.measure.document_groups import DocumentGroups
from neurontab.measure.features import Features
from neurontab.measure.memory import Needs, free_memory
from neurontab.measure.models import LanguageModel
from neurontab.measure.plan import Begun, Plan, plan
from neurontab.measure.processes import ALONE, Processes
from neurontab.measure.sequences import CorpusPlan
from neurontab.measure.sketch_plan import SketchPlan
from neurontab.measure.sources import parse_sources
from neurontab.measure.stages import Speed
from neurontab.measure.text_labels import TextLabels, read_labels
from neurontab.measure.vocabulary import newline_ids, shared_digest
from neurontab.progress import Progress
from neurontab.tables.query import discover
from neurontab.tables.store import SCHEMA_VERSION
from neurontab.writing.models import vocabulary_frame

CALIBRATED = 1_024  # tokens on which the speed of a model is measured


@dataclass(frozen=True)
class Prepared:
    """Everything that a build reads, ready to be read."""

    config: BuildConfig
    device: torch.device
    processes: Processes
    models: list[LanguageModel]
    tokenizer_digest: str
    corpus: Corpus
    features: Features
    text_labels: TextLabels | None
    speed: Speed
    plan: Plan
    fingerprint: dict[str, str]

    @property
    def run_id(self) -> str:
        """A short name for what will be built."""
        return run_id_of(self.fingerprint)

    def settings(self) -> dict[str, Any]:
        """What `config.toml` holds: the config with whole paths, our version, plan, fingerprint."""
        resolved = self.config.model_dump(mode="json", exclude_none=True)
        if self.config.models:
            resolved["models"] = [model.facts.spec for model in self.models]
        for name in ("corpus", "labels"):
            resolved[name] = [str(Path(place).resolve()) for place in getattr(self.config, name)]
        planned = {key: each for key, each in asdict(self.plan).items() if each is not None}
        threads = {"threads": torch.get_num_threads(), "device": str(self.device)}
        return resolved | {
            "neurontab": OURS,
            "plan": planned | threads,
            "fingerprint": self.fingerprint,
        }

    def keep_inputs(self, model: LanguageModel) -> None:
        """From now on keeps what a model's MLPs read, as far as the plan has memory for it."""
        model.keep_inputs(self.plan.kept_sequences, self.corpus.tokens.shape[1])

    def going_on(self, begun: Mapping[str, Any]) -> "Prepared":
        """The same, matched as a plan that `config.toml` holds says, where that fits."""
        if not begun:
            return self
        read = self.config, self.models, self.corpus, self.features, self.text_labels
        again = _plan(*read, self.device, self.processes, self.speed, begun)
        return replace(self, plan=again) if again.memory <= again.budget else self

    def taking_part(self, planned: Mapping[str, Any]) -> "Prepared":
        """The same with the sizes that another process has planned."""
        same = {name: planned[name] for name in ("room", "kept_sequences")}
        return replace(self, plan=replace(self.plan, sketch=_sketch_of(planned), **same))


def prepare(config: BuildConfig, progress: Progress, processes: Processes = ALONE) -> Prepared:
    """Loads and checks what a config names, for one of some processes.

    Raises ConfigError, ModelError or CorpusError for what is missing or does not fit together, and
    FileError when the text's cache cannot be written.
    """
    device = device_of(config.device)
    specs = config.models or tuple(str(folder) for folder in suite.models())
    models: list[LanguageModel] = []
    with progress.stage("models", len(specs), "models") as stage:
        for source in sorted(parse_sources(specs), key=lambda source: source.name):
            models.append(LanguageModel(source, device))
            stage.advance(1)
    tokenizer_digest = shared_digest({model.name: model.tokenizer for model in models})
    _refuse_other_special_tokens(models)
    text = corpus_plan(config, models)
    digest = corpus.digest_of(text, models[0].tokenizer)
    tokens = corpus.prepare(text, models[0].tokenizer, digest, progress)
    identities = {f"model {model.name}": model.identity for model in models}
    features = features_of(models[0], tokens, config.seed)
    labels = read_labels(config.labels, tokens)
    fingerprint = fingerprint_of(
        config,
        **identities,
        tokenizer=tokenizer_digest,
        corpus=digest,
        features=features.digest,
        labels=labels.digest if labels else "none",
        schema=str(SCHEMA_VERSION),
    )
    first = tokens.batch(0, max(1, CALIBRATED // tokens.tokens.shape[1]))
    speed = calibrated(models[0], first)
    planned = _plan(config, models, tokens, features, labels, device, processes, speed, None)
    return Prepared(
        config,
        device,
        processes,
        models,
        tokenizer_digest,
        tokens,
        features,
        labels,
        speed,
        planned,
        fingerprint,
    )


def features_of(model: LanguageModel, text: Corpus, seed: int) -> Features:
    """Which tokens have which features, as the query `token_features` says."""
    query = discover()["token_features"]
    rows = query({"vocabulary": vocabulary_frame(model, text).lazy()}).collect()
    counts = torch.from_numpy(text.token_counts(model.facts.d_vocab))
    return Features.of(rows["feature"].to_numpy(), rows["token_id"].to_numpy(), counts, seed)


def _plan(
    config: BuildConfig,
    models: list[LanguageModel],
    tokens: Corpus,
    features: Features,
    labels: TextLabels | None,
    device: torch.device,
    processes: Processes,
    speed: Speed,
    begun: Mapping[str, Any] | None,
) -> Plan:
    context = tokens.tokens.shape[1]
    matching = config.matching
    mode = matching.planned_mode
    sketch = _sketch_of(begun or {})
    if begun is not None:
        mode = "sketch" if sketch else "exact"
    cards = torch.cuda.device_count() if device.type == "cuda" else 1
    sharing = max(1, processes.here // cards)
    return plan(
        [model.facts for model in models],
        tokens.n_counted,
        Needs(
            batch_tokens=max(config.batch_tokens, context),  # a sequence at least
            block_tokens=config.block_tokens,
            context=context,
            draws=matching.draws,
            kept=max(matching.k, matching.twins),
            types=int((tokens.token_counts(models[0].facts.d_vocab) > 0).sum()),
            features=len(features.names) + (len(labels.names) if labels else 0),
            label_bytes=labels.pattern.nbytes if labels else 0,
            ablations=min(config.ablations, tokens.n_counted),
            exported=config.activations,
            document_groups=len(DocumentGroups.of(tokens)),
            sequences=-(-len(tokens.tokens) // processes.world),
            processes=processes.world,
        ),
        mode=mode,
        allowed=config.memory // processes.here if config.memory else None,
        free=free_memory(device) // sharing,
        speed=speed,
        begun=Begun(sketch, begun["room"]) if begun and sketch else None,
    )


def corpus_plan(config: BuildConfig, models: list[LanguageModel]) -> CorpusPlan:
    """Which text becomes which sequences. Raises ConfigError for what cannot be."""
    if config.models and not config.corpus:
        raise ConfigError("There is no text for these models.\nName some with --corpus.")
    longest = min(model.facts.n_ctx for model in models)
    context = config.context or min(longest, LONGEST_CONTEXT)
    if context > longest:
        raise ConfigError(f"context is {context}, but the models read {longest} tokens at most.")
    masked = {token for model in models for token in model.special_ids}
    if config.mask_newlines:
        masked |= newline_ids(models[0].tokenizer)
    embedded = not (config.models or config.corpus)
    usual = EMBEDDED_TOKENS if embedded else USUAL_TOKENS
    return CorpusPlan(
        places=config.corpus or (str(suite.CORPUS),),
        context=context,
        tokens=config.tokens or usual,
        at_most=config.tokens is None,
        masked_ids=tuple(sorted(masked)),
        bos=models[0].bos,
        seed=config.seed,
    )


def _sketch_of(planned: Mapping[str, Any]) -> SketchPlan | None:
    return SketchPlan(**planned["sketch"]) if "sketch" in planned else None


def _refuse_other_special_tokens(models: list[LanguageModel]) -> None:
    first, *others = models
    for model in others:
        if (model.bos, model.special_ids) != (first.bos, first.special_ids):
            raise ModelError(
                f"{first.name} begins sequences with token {first.bos}, {model.name} with "
                f"{model.bos}; special tokens are {first.special_ids} and {model.special_ids}.\n"
                "Compare models of one family."
            )
