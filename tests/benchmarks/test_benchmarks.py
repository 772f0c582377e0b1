"""The benchmarks' own promises: the README shows what was measured, and the measure is right."""

import pytest

from benchmarks.epoch_speed import flops_per_epoch
from benchmarks.readme_tables import DOCUMENTS, with_tables
from benchmarks.results import in_a_process, spread


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_documents_show_what_the_benchmarks_printed_last(document):
    assert with_tables(document.read_text()) == document.read_text()


def test_flops_by_hand():
    forward = 784 * 128 + 128 * 64 + 64 * 10  # multiplications with additions of one digit
    # Backward: the gradient of every weight, and of every input but the pixels.
    backward = forward + 128 * 64 + 64 * 10
    assert flops_per_epoch("standard_fc") == 2 * (forward + backward) * 60_000


def test_spread_is_median_and_range():
    assert spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"


def test_a_missing_package_is_told_from_a_failure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lonely.py").write_text("import no_such_package")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        in_a_process("lonely")
    with pytest.raises(RuntimeError, match="failed"):
        in_a_process("benchmarks.peers.bare_loop", "unknown network")


@pytest.mark.real_mnist
def test_a_peer_reports_an_epoch_and_its_memory(real_mirror):
    measured = in_a_process("benchmarks.peers.bare_loop", "fc", "--epochs", "1")
    assert len(measured["epoch_seconds"]) == 1 and measured["epoch_seconds"][0] > 0
    assert 10**8 < measured["peak_bytes"] < 10**10
