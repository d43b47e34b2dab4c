"""What a user can put right: one class a kind of mistake, each with its exit code.

A message says what is wrong, where, and, last, the remedy. Anything else that is raised is a bug of
ours and keeps its traceback.
"""

from difflib import get_close_matches


class NeurontabError(Exception):
    """Something the user can put right; shown as one message without a traceback."""

    exit_code = 1


class ConfigError(NeurontabError):
    """A setting that is unknown, impossible, or at odds with another."""


class ModelError(NeurontabError):
    """A model that cannot be found, loaded, trusted or compared."""


class CorpusError(NeurontabError):
    """Text that cannot be read, or too little of it."""


class FileError(NeurontabError):
    """A file that cannot be written."""


class RunError(NeurontabError):
    """A run folder that is missing, unfinished, locked or of another configuration."""


class TableError(NeurontabError):
    """A table or column that is missing, unknown or not as declared."""


class QueryError(NeurontabError):
    """A question that cannot be answered: SQL, a query module or one of its thresholds."""


class ChartError(NeurontabError):
    """A chart that does not exist or cannot be written."""


class CheckError(NeurontabError):
    """A run whose files are not what its manifest says."""

    exit_code = 3


class StoppedError(NeurontabError):
    """Work that was told to stop and has kept what it had."""

    exit_code = 75


def nearest(name: str, known: list[str]) -> str:
    """` Did you mean 'x'?` for a misspelt name, or nothing; the end of many a message."""
    folded = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return f" Did you mean {folded[found[0]]!r}?" if found else ""
