"""The three files of a figure: how they are written, and what they may replace."""

import csv
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

from deadtokens.errors import UserError
from deadtokens.figures import style
from deadtokens.files import complete_or_absent
from deadtokens.tables import write_csv

MAKER = "deadtokens figure"


@dataclass(frozen=True)
class Product:
    """The files of one figure.

    Attributes
    ----------
    figure : str
        Its name.
    stem : Path
        The files' common name without the ending (dots in it are kept).
    """

    figure: str
    stem: Path

    @property
    def maker(self) -> str:
        """What the picture files say of who made them."""
        return f"{MAKER} {self.figure}"

    def path(self, ending: str) -> Path:
        """Return one of the files: png, pdf or csv."""
        return self.stem.with_name(f"{self.stem.name}.{ending}")

    def check_inputs(self, inputs: Sequence[Path]) -> None:
        """Refuse to replace what the figure is drawn from.

        Raises
        ------
        UserError
            If one of the files is an input.
        """
        own = [self.path(ending) for ending in ("png", "pdf", "csv")]
        for path in inputs:
            for file in own:
                if path.exists() and file.exists() and path.samefile(file):
                    raise UserError(f"{file} is what is to be drawn: give another --output")

    def check_replaceable(self, table: pd.DataFrame) -> None:
        """Refuse to replace a file that this figure did not write.

        Parameters
        ----------
        table : DataFrame
            The numbers drawn: its columns tell the figure's CSV from others.

        Raises
        ------
        UserError
            If one of the files exists and is not this figure's.
        """
        is_own = {
            "png": self._is_own_png,
            "pdf": self._is_own_pdf,
            "csv": partial(_has_columns, list(table.columns)),
        }
        for ending, check in is_own.items():
            path = self.path(ending)
            if path.is_symlink() or (path.exists() and not (path.is_file() and check(path))):
                raise UserError(
                    f"{path} exists and was not written by the figure {self.figure}, which would "
                    "replace it: give another --output, or move it away"
                )

    def write(self, figure: Figure, table: pd.DataFrame) -> None:
        """Write PNG, PDF and CSV: all complete, with the same bytes every time.

        Parameters
        ----------
        figure : Figure
        table : DataFrame
            The numbers drawn.
        """
        with ExitStack() as files, style.look():
            png, pdf, numbers = (
                files.enter_context(complete_or_absent(self.path(ending)))
                for ending in ("png", "pdf", "csv")
            )
            about = {"Creator": self.maker}
            figure.savefig(png, dpi=style.DOTS_PER_INCH, metadata=about)
            figure.savefig(pdf, metadata={**about, "CreationDate": None})
            write_csv(table, numbers)

    def _is_own_png(self, path: Path) -> bool:
        try:
            with Image.open(path) as image:
                return image.info.get("Creator") == self.maker
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
            return False

    def _is_own_pdf(self, path: Path) -> bool:
        content = path.read_bytes()
        return content.startswith(b"%PDF") and f"/Creator ({self.maker})".encode() in content


def _has_columns(columns: list[str], path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return next(csv.reader(file), None) == columns
    except (UnicodeDecodeError, csv.Error):
        return False
