"""The story of a build, top to bottom: plan → measure → derive → finish."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path

from neurontab.commit import commit
from neurontab.config import BuildConfig
from neurontab.derive import definitions, derive, rederive
from neurontab.errors import ModelError, RunError
from neurontab.files import size_of
from neurontab.folder import (
    CHECKPOINTS,
    begin,
    claimed,
    discard,
    refuse_if_read_from,
    under_way,
)
from neurontab.manifest import (
    BUILD,
    Derivation,
    Manifest,
    Matched,
    TokenFile,
    describe_files,
    describe_tables,
)
from neurontab.measure.basis import check_basis
from neurontab.measure.checkpoint import Checkpoints
from neurontab.measure.plan import Plan
from neurontab.measure.processes import ALONE, Processes
from neurontab.measure.sources import parse_sources
from neurontab.measuring import measure_family
from neurontab.passes import Passes
from neurontab.prepare import Prepared, prepare
from neurontab.progress import Progress, Silent, Stage
from neurontab.run import RUNS, Run
from neurontab.tables.query import Query, check, discover
from neurontab.tables.schemas import MEASURED

DONE, BEGUN = 0, 1  # what the first process tells the others
PACKAGES = ("neurontab", "polars", "pyarrow", "torch", "transformer_lens", "transformers")


def build(
    config: BuildConfig,
    folder: Path | None = None,
    *,
    fresh: bool = False,
    queries_folder: Path | None = None,
    command: tuple[str, ...] = (),
    progress: Progress | None = None,
    on_plan: Callable[[Plan], None] = lambda plan: None,
    stop: Callable[[], bool] = lambda: False,
    processes: Processes = ALONE,
) -> Run:
    """Measures a family of models, derives every table, and returns the finished run.

    A folder that already holds this build is returned as it is, or built further where that was
    interrupted; another build's, or what another version began, is refused. When `fresh`, another
    run is replaced once this one is done, and what others left unfinished is discarded at once.
    `on_plan` is shown what the build will cost before it begins; a build that `stop` tells to stop
    keeps what it has. Several `processes` share the running of the models; the first writes.
    Raises NeurontabError for whatever the user can put right.
    """
    clock = _Clock(progress or Silent())
    queries = discover(queries_folder)
    check(queries)
    with processes.first_alone():
        prepared = prepare(config, clock, processes)
    folder = folder or default_folder(config)
    refuse_if_read_from(folder, config)
    if not processes.first:
        _take_part(prepared, queries, folder, processes, clock, stop)
        return Run(folder, queries_folder)
    with claimed(folder, prepared.fingerprint, fresh=fresh) as claim:
        if not claim.finished:
            prepared = prepared.going_on(claim.plan)
            on_plan(prepared.plan)
            prepared.plan.refuse_if_too_large(folder, written=size_of(folder / BUILD))
            try:
                for model in prepared.models:
                    check_basis(model, prepared.corpus.batch(0, 2))
                made = begin(folder, prepared.settings())
                processes.told(BEGUN)
                passes = _passes(folder, config, processes, stop, claim.refuse_if_gone)
                matched = measure_family(prepared, queries, made, passes, clock)
            except ModelError:
                discard(folder)  # the same again would end in the same
                raise
            with clock.stage("derived tables", len(queries), "tables") as stage:
                how = derive(made, MEASURED, queries, {}, prepared.run_id, made)
                stage.advance(len(queries))
            about = describe(prepared, matched, how, made, queries_folder, command, clock.seconds)
            about.write(made)
            claim.refuse_if_gone()
            processes.wait()  # the others have read what is now put away
            commit(folder, made)
            discard(folder)
        else:
            processes.told(DONE)
    run = _up_to_date(Run(folder, queries_folder), queries)
    processes.wait()
    return run


def _take_part(
    prepared: Prepared,
    queries: dict[str, Query],
    folder: Path,
    processes: Processes,
    progress: Progress,
    stop: Callable[[], bool],
) -> None:
    """What another process than the first does: it runs its share of the text."""
    if processes.told(DONE) == BEGUN:
        begun = under_way(folder)
        if not begun.is_of(prepared.fingerprint):
            raise RunError(
                f"This process does not see the build that the first one began in {folder}.\n"
                "Give all of them the same version of neurontab, the same models and text, and a "
                "folder that all of them see."
            )

        def refuse_if_gone() -> None:
            if not (folder / CHECKPOINTS).is_dir():
                raise RunError(f"{folder} was removed while it was being written.\nRun it again.")

        passes = _passes(folder, prepared.config, processes, stop, refuse_if_gone)
        part = prepared.taking_part(begun.plan)
        measure_family(part, queries, folder / BUILD, passes, progress)
        processes.wait()
    processes.wait()


def _passes(
    folder: Path,
    config: BuildConfig,
    processes: Processes,
    stop: Callable[[], bool],
    refuse_if_gone: Callable[[], None],
) -> Passes:
    done = Checkpoints(folder / CHECKPOINTS, config.checkpoint_seconds)
    if processes.world == 1:
        return Passes(done, done, stop, refuse_if_gone)
    place = folder / CHECKPOINTS / f"{processes.rank}of{processes.world}"
    place.mkdir(exist_ok=True)
    own = Checkpoints(place, config.checkpoint_seconds)
    return Passes(done, own, stop, refuse_if_gone, processes)


def describe(
    prepared: Prepared,
    matched: Matched,
    how: dict[str, Derivation],
    made: Path,
    queries_folder: Path | None,
    command: tuple[str, ...],
    seconds: dict[str, float],
) -> Manifest:
    """The manifest of what was made."""
    text = prepared.corpus
    return Manifest(
        run_id=prepared.run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=list(command),
        versions={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        config=prepared.config.model_dump(mode="json"),
        fingerprint=prepared.fingerprint,
        models=[asdict(model.facts) for model in prepared.models],
        tokenizer=prepared.tokenizer_digest,
        corpus=TokenFile(
            text.sha256, len(text.tokens), text.tokens.shape[1], counted=text.n_counted
        ),
        masked_ids=list(text.masked_ids),
        dtypes={
            "model": "float32",
            "products": prepared.config.matching.products,
            "sums": "float64",
        },
        device=str(prepared.device),
        stages=seconds,
        tables=describe_tables(made, [*MEASURED, *how]),
        files=describe_files(made),
        queries=how,
        queries_folder=str(queries_folder.resolve()) if queries_folder else None,
        matched=matched,
    )


def default_folder(config: BuildConfig, file: Path | None = None) -> Path:
    """`runs/suite`, else `runs/` plus the config file's stem or what the models' names share.

    Raises ModelError for a bad or a doubled name.
    """
    if file is not None:
        return RUNS / file.stem
    if not config.models:
        return RUNS / "suite"
    names = [source.name for source in parse_sources(config.models)]
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    shared = "".join(letters[0] for letters in alike).strip("._@-")
    return RUNS / (shared or "family")


def _up_to_date(run: Run, queries: dict[str, Query]) -> Run:
    """A finished run, its derived tables written again when definitions have changed since."""
    used = {name: how.thresholds for name, how in run.manifest.queries.items() if name in queries}
    wanted = definitions(queries, used)
    same = all(run.manifest.queries.get(name) == how for name, how in wanted.items())
    return run if same else rederive(run, used)


@dataclass(frozen=True)
class _Clock:
    """Progress that also notes how long each stage took, in seconds."""

    shown: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Stage]:
        """Runs and times a stage."""
        started = time.monotonic()
        with self.shown.stage(name, total, unit) as stage:
            yield stage
        self.seconds[name] = round(time.monotonic() - started, 2)
