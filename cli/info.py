"""`neurontab info`: what a run was made from and how."""

from typing import TYPE_CHECKING

import typer

from .options import RunFolder

if TYPE_CHECKING:
    from neurontab.manifest import Matched


def info(run: RunFolder = None) -> None:
    """Show what a run was made from, how, and how long it took."""
    import neurontab
    from neurontab.printable import printable

    opened = neurontab.open(run)
    about = opened.manifest
    rows = sum(part.rows for parts in about.tables.values() for part in parts.values())
    size = sum(part.bytes for parts in about.tables.values() for part in parts.values())
    facts = {
        "run": f"{opened.folder} ({about.run_id}), {about.created}",
        "command": " ".join(about.command),
        "corpus": f"{about.corpus.counted:,} counted tokens in {about.corpus.sequences:,} "
        f"sequences of {about.corpus.context}; sha256 {about.corpus.sha256[:12]}",
        "tokenizer": f"sha256 {about.tokenizer[:12]}; masked ids {about.masked_ids}",
        "device": f"{about.device}; " + ", ".join(f"{k} {v}" for k, v in about.dtypes.items()),
        "stages": ", ".join(f"{name} {seconds} s" for name, seconds in about.stages.items()),
        "tables": f"{len(about.tables)} with {rows:,} rows, {size / 2**20:.1f} MiB",
        "versions": ", ".join(f"{name} {number}" for name, number in about.versions.items()),
    }
    with opened.files.damage_named():
        models = opened.scan("models").collect().to_dicts()
    for model in models:
        shape = f"{model['n_layers']} layers × {model['d_mlp']:,} neurons, {model['activation']}"
        facts[f"model {model['model']}"] = (
            f"{model['source']}{'@' + model['revision'] if model['revision'] else ''}: "
            f"{model['architecture']}, {shape}; sha256 {model['sha256'][:12]}"
        )
    changed = ", ".join(f"{name}={value}" for name, value in opened.thresholds.items())
    if about.matched:
        facts["matching"] = _matching(about.matched)
    facts["thresholds"] = changed or "as shipped"
    width = max(map(len, facts))
    for name, fact in facts.items():
        typer.echo(printable(f"{name:<{width}}  {fact}"))


def _matching(how: "Matched") -> str:
    """By what neurons were matched, and in how many rows it is known how that nothing is missed."""
    counts = ", ".join(f"{n:,} {name}" for name, n in how.certificates.items())
    rounded = f"products in {how.precision}"
    if how.rounding_error is not None:
        rounded += f", which err by about {how.rounding_error:.0e}"
    if not how.sketch_rows:
        return f"all products; rows: {counts}; {rounded}"
    numbers = f" in {how.sketch_precision}" if how.sketch_precision else ""
    return (
        f"sketches of {how.sketch_rows:,} rows{numbers}; rows: {counts}, "
        f"{how.further:,} in a further pass; "
        f"anything wrong with probability below {how.failure:g}; {rounded}"
    )
