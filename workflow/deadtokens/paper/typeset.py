"""The PDF: the template and its data, typeset in a folder of their own."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typst

from deadtokens.errors import UserError
from deadtokens.paper.prose import check_prose

MAIN = "paper.typ"
DATA = "data.json"
TIMESTAMP = 0  # the same data give the same bytes, whenever they are typeset


def typeset(
    template: Path, data: Mapping[str, Any], results: Path, figures: Iterable[str], output: Path
) -> None:
    """Write the paper as PDF.

    Fonts are those that typst brings, so that it is the same on every machine.

    Parameters
    ----------
    template : Path
        Folder with ``paper.typ``.
    data : mapping
        What the template reads as JSON; its texts are text, whatever signs they hold.
    results : Path
        Folder of the results.
    figures : iterable of str
        PDFs below `results`.
    output : Path
        PDF to write.

    Raises
    ------
    UserError
        If the template types a number, or asks for one that has no source.
    """
    check_prose(template)
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(template, folder, dirs_exist_ok=True)
        folder.chmod(0o700)  # the template's mode has come with it: a checkout may be read-only
        (folder / DATA).write_text(json.dumps(data), encoding="utf-8")
        for figure in figures:
            (folder / figure).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(results / figure, folder / figure)
        try:
            typst.compile(
                folder / MAIN,
                output=output,
                root=folder,
                font_paths=typst.Fonts(include_system_fonts=False),
                timestamp=TIMESTAMP,
            )
        except typst.TypstError as error:
            raise UserError(f"the paper cannot be typeset: {error.message}") from None
