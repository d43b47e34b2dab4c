"""The embedded default: five trained seeds of a small model and a held-out corpus."""

from pathlib import Path

from neurontab.errors import ModelError

FOLDER = Path(__file__).parent
CORPUS = FOLDER / "corpus" / "held_out.parquet"


def models() -> list[Path]:
    """The folders of the shipped seeds, in order.

    Raises ModelError when the installation lacks them.
    """
    found = sorted(path for path in FOLDER.glob("seed*") if (path / "model.safetensors").is_file())
    if not found:
        raise ModelError(
            f"The embedded suite is not in {FOLDER}.\n"
            "Reinstall neurontab from a complete checkout, or name models with --model."
        )
    return found
