"""The three files of a figure: complete, steady, and never in place of another's."""

import csv
import shutil
from pathlib import Path

import pandas as pd
import pytest
from figures.figure_data import census, read_table, scalars
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.figures import product, style
from deadtokens.figures.product import Product

pytestmark = pytest.mark.usefixtures("plain_fonts")
TABLE = pd.DataFrame({"x": [1, 2], "y": [3, 4]})


def example() -> style.Figure:
    with style.look():
        figure = style.blank(2)
        figure.subplots().plot([1, 2], [3, 4])
    return figure


def written(folder, monkeypatch, date="0"):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
    Product("loss", folder / "lr-0.5").write(example(), TABLE)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_three_files_are_written_with_the_same_bytes_at_any_time(tmp_path, monkeypatch):
    once = written(tmp_path, monkeypatch, date="0")
    assert set(once) == {"lr-0.5.png", "lr-0.5.pdf", "lr-0.5.csv"}
    assert once == written(tmp_path, monkeypatch, date="86400")


def test_a_dated_pdf_would_differ(tmp_path, monkeypatch):
    pages = []
    for date in ("0", "86400"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
        example().savefig(tmp_path / "dated.pdf")
        pages.append((tmp_path / "dated.pdf").read_bytes())
    assert pages[0] != pages[1]


def test_writing_leaves_nothing_and_keeps_the_old_files_if_one_fails(tmp_path, monkeypatch):
    before = written(tmp_path, monkeypatch)

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(product, "write_csv", fail)
    with pytest.raises(OSError, match="no space"):
        written(tmp_path, monkeypatch, date="1")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
            st.floats(allow_nan=False),
        ),
        min_size=1,
    )
)
def test_csv_gives_every_text_and_number_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "hostile.csv"
    table = pd.DataFrame(rows, columns=["text", "number"])
    product.write_csv(table, path)
    with path.open(encoding="utf-8", newline="") as file:
        back = [(text, float(number)) for text, number in list(csv.reader(file))[1:]]
    assert back == rows
    table = table.astype({"text": "str"})
    pd.testing.assert_frame_equal(
        read_table(path, {"text": "str", "number": "float64"}), table, check_exact=True
    )


def loss(folder: Path) -> Path:
    path = folder / "steps-3" / "scalars.nc"
    path.parent.mkdir(parents=True, exist_ok=True)
    scalars([8, 7, 6]).to_netcdf(path, engine="h5netcdf")
    return path


def test_a_figure_replaces_its_own_files(tmp_path):
    output = tmp_path / "out.png"
    for title in ("first", "second"):
        call("figure", ["loss", str(loss(tmp_path)), "--output", str(output), "--title", title])
        pictures = {path.name: path.read_bytes() for path in tmp_path.glob("out.*")}
        assert len(pictures) == 3
    call("figure", ["loss", str(loss(tmp_path)), "--output", str(output), "--title", "first"])
    assert output.read_bytes() != pictures["out.png"]


def test_the_census_beside_the_figure_of_the_census_stays(tmp_path):
    data = tmp_path / "census.nc"
    rows = [("a", "Latin", 5, ""), ("b", "Latin", 0, "other script")]
    census(rows).to_netcdf(data, engine="h5netcdf")
    neighbour = tmp_path / "census.csv"
    neighbour.write_text("token,string,count\n0,a,5\n")
    with pytest.raises(UserError, match=r"census\.csv exists and was not written by the figure"):
        call("figure", ["census", str(data), "--output", str(tmp_path / "census.png")])
    assert neighbour.read_text() == "token,string,count\n0,a,5\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["census.csv", "census.nc"]


@pytest.mark.parametrize("ending", ["png", "pdf", "csv"])
@pytest.mark.parametrize(
    "content", [b"", b"mine", b"\xff\xfe\x00", b"%PDF-1.4 mine", b"x,z\n1,2\n"]
)
def test_foreign_files_are_never_replaced(ending, content, tmp_path):
    mine = Product("loss", tmp_path / "x")
    mine.path(ending).write_bytes(content)
    with pytest.raises(UserError, match="not written by the figure loss"):
        mine.check_replaceable(TABLE)
    assert mine.path(ending).read_bytes() == content


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_pictures_of_another_figure_or_of_somebody_else_are_never_replaced(ending, tmp_path):
    Product("frozen", tmp_path / "other").write(example(), TABLE)
    example().savefig(tmp_path / f"plain.{ending}")
    for name in ("other", "plain"):
        shutil.copy(tmp_path / f"{name}.{ending}", tmp_path / f"x.{ending}")
        with pytest.raises(UserError, match="not written by the figure loss"):
            Product("loss", tmp_path / "x").check_replaceable(TABLE)


@pytest.mark.parametrize("ending", ["png", "pdf", "csv"])
def test_a_folder_or_a_link_in_the_place_of_a_file_is_refused(ending, tmp_path):
    mine = Product("loss", tmp_path / "x")
    mine.path(ending).mkdir()
    with pytest.raises(UserError, match="exists"):
        mine.check_replaceable(TABLE)
    mine.path(ending).rmdir()
    mine.path(ending).symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="exists"):
        mine.check_replaceable(TABLE)


@pytest.mark.parametrize("ending", ["png", "pdf", "csv"])
def test_an_output_that_is_an_input_is_refused(ending, tmp_path):
    given_file = loss(tmp_path).rename(tmp_path / f"x.{ending}")
    before = given_file.read_bytes()
    with pytest.raises(UserError, match="is what is to be drawn"):
        call("figure", ["loss", str(given_file), "--output", str(tmp_path / "x.png")])
    assert given_file.read_bytes() == before


def test_a_title_that_no_figure_holds_is_refused(tmp_path):
    with pytest.raises(UserError, match="140,000 characters"):
        call(
            "figure",
            ["loss", "x.nc", "--output", str(tmp_path / "x.png"), "--title", "x" * 140_000],
        )
