"""`python -m neurontab.suite.archives FOLDER`: fetches the releases that the suite's text is from.

They are packages of Debian 12: `archives.toml` names each file with its digest. Fetching needs
apt-get with source packages enabled, reading them dpkg-deb.
"""

import hashlib
import io
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neurontab.errors import CorpusError

LIST = Path(__file__).parent / "archives.toml"


@dataclass(frozen=True)
class Archive:
    """One file, of a binary package (`.deb`) or of the original source of one."""

    name: str  # of the package
    file: str
    sha256: str
    held_out: bool = False
    held_out_parts: tuple[str, ...] = ()  # novels


def archives() -> list[Archive]:
    """All of them, in order of their file names."""
    listed = tomllib.loads(LIST.read_text("utf-8"))["archive"]
    return [
        Archive(
            one["name"],
            one["file"],
            one["sha256"],
            one.get("held_out", False),
            tuple(one.get("held_out_parts", ())),
        )
        for one in listed
    ]


def files(archive: Archive, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file in an archive, in order of paths.

    Raises CorpusError when the archive is missing or another.
    """
    path = folder / archive.file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != archive.sha256:
        raise CorpusError(
            f"{path} is missing, or not the release that the suite was made from.\n"
            f"Fetch it with: python -m neurontab.suite.archives {folder}"
        )
    with tarfile.open(fileobj=io.BytesIO(_tar(path))) as tar:
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            if member.isfile():
                opened = tar.extractfile(member)
                assert opened is not None
                yield "/" + member.name.removeprefix("./"), opened.read()


def fetch(folder: Path) -> None:
    """Fetches what the folder lacks; raises CorpusError for what is no longer to be had."""
    folder.mkdir(parents=True, exist_ok=True)
    for archive in archives():
        if not (folder / archive.file).is_file():
            binary = archive.file.endswith(".deb")
            get = ["download"] if binary else ["source", "--download-only", "-qq"]
            subprocess.run(["apt-get", *get, archive.name], cwd=folder, check=False)
    missing = [each.file for each in archives() if not (folder / each.file).is_file()]
    if missing:
        raise CorpusError(
            f"apt-get did not bring {', '.join(missing)}.\n"
            "Use Debian 12 with source packages enabled, or an archive of its releases."
        )


def _tar(path: Path) -> bytes:
    if path.suffix != ".deb":
        return path.read_bytes()
    unpack = ["dpkg-deb", "--fsys-tarfile", str(path)]
    return subprocess.run(unpack, check=True, capture_output=True).stdout


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
