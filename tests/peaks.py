"""`python tests/peaks.py FOLDER BUILD …`: builds, each in a process of its own, and their peaks.

A build is a config as JSON. Prints the most bytes that each process had in memory at once. Children
are forked, so that each begins at once and with the same.
"""

import os
import re
import sys
from pathlib import Path

from neurontab.building import build
from neurontab.config import BuildConfig


def main(folder: Path, configs: list[str]) -> None:
    """One build after the other, into folders that are called by their numbers."""
    for number, config in enumerate(configs):
        child = os.fork()
        if not child:
            build(BuildConfig.model_validate_json(config), folder / str(number))
            print(peak(), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def peak() -> int:
    """Bytes of this process at most since it was forked.

    Not from getrusage, in which a process begins with the peak of the one that began it.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
