"""What the machine that Snakemake runs on says of itself, and where its jobs would be lost."""

import pytest

from deadtokens.environment import count_gpus, why_not_submitted


@pytest.fixture
def devices(tmp_path):
    """Return a folder of devices as the driver of two GPUs makes it."""
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-modeset", "null"):
        (tmp_path / name).touch()
    (tmp_path / "nvidia-caps").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [(None, 2), ("0,1", 2), ("1", 1), ("GPU-8932f937", 1), ("", 0), ("-1", 0), ("0,1,2,3", 2)],
)
def test_gpus_are_those_that_are_there_and_visible(devices, monkeypatch, visible, gpus):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus(devices) == gpus


def test_a_machine_without_a_driver_has_none(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert count_gpus(tmp_path) == 0


@pytest.mark.parametrize("letter", ['"', "$", "`", "\\"])
def test_what_a_shell_reads_between_double_quotes_is_in_no_folder_of_a_cluster(letter):
    assert why_not_submitted("/here", f"/the{letter}re").startswith(f"/the{letter}re: ")


def test_all_else_may_be(tmp_path):
    assert why_not_submitted("/here", "/th ere/'quoted'/{braces}/#:;*?/ก", tmp_path) == ""
