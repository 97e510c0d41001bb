"""Analyse one record: every analysis, every figure, and a page, report.html, that has it all.

The record is what a Recorder wrote, or the trajectory of a run of a study. What one analysis cannot
say stops no other; the page says what could not be said, and why.
"""

import json
import logging
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from deadtokens.audit.reading import read_audit
from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent, ensure_writable
from deadtokens.netcdf import read_derived
from deadtokens.recording.contents import FILE, is_being_written
from deadtokens.recording.listing import write_contents
from deadtokens.report.attempts import (
    ANALYSES,
    DRAWN_FROM,
    FIGURE_FOLDER,
    PICTURES,
    Attempt,
    all_files,
    analyse,
    draw,
)
from deadtokens.report.contents import describe
from deadtokens.report.numbers import HEADLINE, Number, outcomes, tokens
from deadtokens.report.page import (
    MAKER,
    details,
    listing,
    page,
    paragraph,
    part,
    picture,
    section,
    table,
)
from deadtokens.report.replay import Tried, answer, controls, tried
from deadtokens.seal import seal_path
from deadtokens.study.captions import caption_of
from deadtokens.study.figures import ANIMATION, FIGURES, QUESTIONS
from deadtokens.trajectory.segments import list_segments, read_header

PAGE, OURS = "report.html", "analysis.json"
FROZEN = (
    "A token is frozen at an update that left every bit of its row as it was. Numbers are of the "
    "dead tokens, as far as they are recorded."
)

log = logging.getLogger(__name__)


def finished_segments(folder: Path) -> list[Path]:
    """Return the segments of a record, checked; of one that is being written, those finished.

    Raises
    ------
    UserError
        If there is none, or one is damaged.
    """
    if not is_being_written(folder):
        return list_segments(folder)
    found = list_segments(folder, check=False)
    sealed = [path for path in found if seal_path(path).exists()]
    if not sealed:
        raise UserError(
            f"{folder}: is being written, and no segment of it is finished; wait for one"
        )
    log.info("%s: a recorder writes there now; its finished segments are analysed", folder)
    return list_segments(sealed)


def claim_output(output: Path) -> None:
    """Note which files of a folder are ours, and refuse to replace others.

    Raises
    ------
    UserError
        If a file stands there that an earlier call did not make, or the folder cannot be written.
    """
    names = [*all_files(), PAGE]
    if not _is_ours(output / OURS):
        taken = [name for name in (OURS, *names) if os.path.lexists(output / name)]
        if taken:
            raise UserError(
                f"{output / taken[0]}: was not made by `{MAKER}` and would be replaced; give "
                "another --output"
            )
    ensure_writable(output / OURS)
    if (output / FIGURE_FOLDER).exists():
        ensure_writable(output / PICTURES[ANIMATION])
    with complete_or_absent(output / OURS) as temporary:
        content = {"made_by": MAKER, "files": names}
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _is_ours(note: Path) -> bool:
    try:
        return json.loads(note.read_text(encoding="utf-8"))["made_by"] == MAKER
    except (OSError, ValueError, KeyError, TypeError):
        return False


def analyse_record(folder: Path, output: Path) -> Path:
    """Analyse a record, draw its figures, and write the page on it.

    Parameters
    ----------
    folder : Path
        With the record's segments.
    output : Path
        Folder that gets everything.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    UserError
        If the folder holds no sound record, or the output cannot be written.
    """
    segments = finished_segments(folder)
    name = read_header(segments[0]).run or folder.resolve().name
    claim_output(output)
    _complete(folder, segments)
    analyses = list(analyse(segments, output))
    files = {ANALYSES[one.name]: one.path for one in analyses if not one.why_not}
    pictures = list(draw(files, output, name))
    parts = [
        part("What was recorded", table([*describe(segments), *_populations(files)])),
        part("Which update gives its bits", *_replay(files)),
        part("What it comes to", *_numbers(files)),
        part("Figures", *_figures(pictures)),
        part("What cannot be said, and why", listing(_left_out(analyses, files, pictures))),
    ]
    with complete_or_absent(output / PAGE) as temporary:
        temporary.write_text(page(f"The record {name}", parts), encoding="utf-8")
    return output / PAGE


def _complete(folder: Path, segments: Sequence[Path]) -> None:
    """Write what a recording holds beside it, where that is missing and can be written."""
    is_recording = not read_header(segments[0]).spec
    if is_recording and not (folder / FILE).exists() and os.access(folder, os.W_OK):
        for path in segments:
            write_contents(path)


def _populations(files: Mapping[str, Path]) -> list[tuple[str, str]]:
    return [(f"{name} tokens", count) for name, count in tokens(files).items()]


def _replay(files: Mapping[str, Path]) -> Iterator[str]:
    if "audit.json" not in files:
        return
    audit = read_audit(files["audit.json"])
    yield paragraph(answer(audit), "answer")
    heads = ("replay", "tensor", "values compared", "values that differ", "furthest, in ulps")
    yield table((Tried(*row) for row in tried(audit)), heads)
    wrong = table(controls(audit), ("wrong on purpose", "values of W that differ"))
    yield details("Replays that are wrong on purpose, to show that the comparison can fail", wrong)


def _numbers(files: Mapping[str, Path]) -> Iterator[str]:
    found = outcomes(files)
    yield paragraph(FROZEN, "quiet")
    for question, names in HEADLINE.items():
        yield section(question, _table_of([found[name] for name in names]))
    shown = {name for names in HEADLINE.values() for name in names}
    others = [one for name, one in found.items() if name not in shown]
    yield details("All other outcomes", _table_of(others))


def _table_of(numbers: Sequence[Number]) -> str:
    rows = (
        (one.meaning, one.text if not one.why_not else f"{one.text} ({one.why_not})")
        for one in numbers
    )
    return table(rows)


def _figures(pictures: Sequence[Attempt]) -> Iterator[str]:
    """Yield the figures that were drawn, by the question that they answer."""
    for question, words in QUESTIONS.items():
        drawn = [one for one in pictures if _question(one.name) == question and not one.why_not]
        if drawn:
            shown = (picture(one.path, one.name, caption_of(one.name)) for one in drawn)
            yield section(words, *shown)


def _question(figure: str) -> int:
    return FIGURES["path" if figure == ANIMATION else figure].question


def _left_out(
    analyses: Sequence[Attempt], files: Mapping[str, Path], pictures: Sequence[Attempt]
) -> Iterator[str]:
    """Yield what analyses refuse, what they leave out, and which figures there are not."""
    yield from (f"{one.name}: {one.why_not}" for one in analyses if one.why_not)
    for path in files.values():
        said = read_derived(path).attrs.get("left_out") if path.suffix == ".nc" else ""
        if said:
            yield f"{path.stem}: {said}"
    reasons = dict.fromkeys(one.why_not for one in pictures if one.why_not)
    for reason in reasons:
        names = [one.name for one in pictures if one.why_not == reason]
        yield f"{'figure' if len(names) == 1 else 'figures'} {', '.join(names)}: {reason}"
    missing = [name for name, file in DRAWN_FROM.items() if file not in files]
    if missing:
        yield f"figures that are not drawn, as their analysis is missing: {', '.join(missing)}"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("folder", type=Path, help="of a recording, or the trajectory of a run")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="for what is made (default: FOLDER/analysis)"
    )


def main(options: Namespace) -> None:
    """Run the command ``analyse``."""
    output = options.output or options.folder / "analysis"
    log.info("%s is written; any browser opens it", analyse_record(options.folder, output))
