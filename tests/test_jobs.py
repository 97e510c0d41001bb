"""Time and memory by rule, out of Snakemake's measurements."""

import csv

import pytest

from deadtokens.cli import call
from deadtokens.errors import UserError

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def put(path, seconds, megabytes, cpu) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}{seconds}\t0:00:01\t{megabytes}\t-\t-\t-\t-\t-\t-\t{cpu}\n")


def test_jobs_are_summed_by_rule(tmp_path):
    put(tmp_path / "train_segment" / "run" / "000.tsv", 1800, 500, 900)
    put(tmp_path / "train_segment" / "run" / "001.tsv", 3600, 700, "-")
    put(tmp_path / "draw_frozen" / "regimes.tsv", 36, "-", 18)
    output = tmp_path / "jobs.csv"
    call("jobs", [str(tmp_path), "--output", str(output)])
    rows = list(csv.DictReader(output.read_text().splitlines()))
    assert [row["rule"] for row in rows] == ["train_segment", "draw_frozen"]
    first = {key: float(value) for key, value in rows[0].items() if key != "rule"}
    assert first == {
        "jobs": 2,
        "longest_seconds": 3600,
        "hours": 1.5,
        "cpu_hours": 0.25,
        "most_megabytes": 700,
    }
    assert (rows[1]["most_megabytes"], float(rows[1]["hours"])) == ("", 0.01)
    assert "train_segment" in output.with_suffix(".html").read_text()


def test_no_measurement_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="holds no measurement of a job"):
        call("jobs", [str(tmp_path), "--output", str(tmp_path / "jobs.csv")])
