"""Pack what a finished study's figures are made from into one file, with checksums.

Of a recording it has what was derived from it, and `FILE`, which says what it held: where that lies
alone, a study draws of the recording and reads it no more. So it does of a model, which the archive
has not either.

The file is a zip of a bag as RFC 8493 (BagIt) has it: ``data/`` holds the configuration and the
derived files with their seals, ``manifest-sha256.txt`` the checksum of each. It is not compressed,
since NetCDF files are, and has no times: the same content gives the same bytes.
"""

import hashlib
import logging
import zipfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deadtokens.arguments import add_output
from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent, sha256_of
from deadtokens.recording.contents import FILE
from deadtokens.seal import check_seal, seal_path
from deadtokens.study.arguments import add_configuration, add_results
from deadtokens.study.claims import claims_of
from deadtokens.study.files import read_configuration
from deadtokens.study.inventory import File, files_of
from deadtokens.study.models import DERIVED
from deadtokens.study.study import Study

CONFIGURATION = "study.yaml"
CLAIMS = "claims/claims.yaml"  # of a study that has its own
PAYLOAD, MANIFEST, DECLARATION = "data/", "manifest-sha256.txt", "bagit.txt"
BAG = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
WITHOUT = {"training", "figures"}  # stages: what is large, and what is drawn anew
ELSEWHERE = ("corpora/", "weights/")  # what can be had again where it came from
# Tables that are made with a derived file, and have no seal.
BESIDE = {
    "census.nc": ["census.csv"],
    "backprop.nc": ["backprop.csv"],
    "outcomes.nc": ["outcomes.csv", "effects.csv"],
}
RECEIPT = "released.json"
FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of zip


def packed(study: Study, results: Path) -> Iterator[Path]:
    """Yield the files of a study that are packed, each sealed one held to its seal.

    Raises
    ------
    UserError
        If one is missing or damaged.
    """
    for file in files_of(study, claims=claims_of(study).values()):
        if file.stage not in WITHOUT and not file.path.startswith(ELSEWHERE):
            path = results / file.path
            yield path
            if file.sealed:
                check_seal(path)
                yield seal_path(path)
            yield from (path.with_name(name) for name in _beside(file))
    receipts = (results / "runs" / run / RECEIPT for run in study.runs)
    yield from (path for path in receipts if path.exists())


def _beside(file: File) -> list[str]:
    """Return the names of what is made with a file and has no seal."""
    path = Path(file.path)
    if file.stage != "models":
        return BESIDE.get(path.name, [])
    return ["suspects.csv"] if file.sealed else [f"{path.stem}.pdf", f"{path.stem}.csv"]


def archive(values: Mapping[str, Any], results: Path, output: Path) -> int:
    """Pack a study, and return how many files it has.

    Parameters
    ----------
    values : mapping
        The configuration.
    results : Path
        Folder of the results.
    output : Path
        Zip file to write.

    Raises
    ------
    UserError
        If the study is not finished, or a file of it is damaged.
    """
    study = Study(values)
    files = {_name(path.relative_to(results)): path for path in packed(study, results)}
    changed = {"keep": "derived"}
    if study.claims is not None:
        changed["claims"] = f"results/{CLAIMS}"
        files[_name(Path(CLAIMS))] = Path(study.claims)
    if study.recordings:
        changed["recorded"] = {
            name: {**entry, "path": f"results/recorded/{name}"}
            for name, entry in values["recorded"].items()
        }
    if study.examined:
        changed["models"] = {
            name: _without_files(name, entry) for name, entry in values["models"].items()
        }
    for name, recording in study.recordings.items():
        files[_name(Path("recorded", name, FILE))] = Path(recording.path, FILE)
    configuration = yaml.safe_dump(
        {**values, **changed}, allow_unicode=True, sort_keys=False
    ).encode()
    sums = {f"{PAYLOAD}{CONFIGURATION}": hashlib.sha256(configuration).hexdigest()}
    sums |= {name: _sum(path) for name, path in files.items()}
    manifest = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    with complete_or_absent(output) as temporary, zipfile.ZipFile(temporary, "w") as file:
        file.writestr(_entry(DECLARATION), BAG)
        file.writestr(_entry(MANIFEST), manifest)
        file.writestr(_entry(f"{PAYLOAD}{CONFIGURATION}"), configuration)
        for name in sorted(files):
            _add(file, name, files[name])
    return len(files)


def _without_files(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's entry as it can stand where no file that it names is."""
    if not (model.get("path") or model.get("tokenizer")):
        return dict(model)
    others = {key: value for key, value in model.items() if key != "source"}
    return {**others, "path": f"{DERIVED}/{name}"}


def _name(path: Path) -> str:
    """Return what a file of the results is called in an archive."""
    return f"{PAYLOAD}results/{path.as_posix()}"


def _sum(path: Path) -> str:
    try:
        return sha256_of(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run snakemake, which makes it") from None


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, FIRST_DAY)
    entry.external_attr = 0o644 << 16
    return entry


def _add(file: zipfile.ZipFile, name: str, path: Path) -> None:
    entry = _entry(name)
    entry.file_size = path.stat().st_size  # by which zip knows whether it needs 64 bits
    with path.open("rb") as source, file.open(entry, "w") as target:
        while piece := source.read(2**22):
            target.write(piece)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_configuration(parser)
    add_results(parser)
    add_output(parser, "zip file to write")


def main(options: Namespace) -> None:
    """Run the command ``archive``."""
    values = read_configuration(options.configuration)
    number = archive(values, options.results, options.output)
    size = options.output.stat().st_size
    logging.getLogger(__name__).info(f"{options.output}: {number:,} files, {size / 1e6:,.0f} MB")
