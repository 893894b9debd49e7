"""What people read of each sweep."""

from prosper_ng.report.narrator import Narrator


def test_details_of_a_sweep_leave_out_a_gap_that_is_rounding(tmp_path, capsys):
    narrator = Narrator(2, is_root=True, quiet=False, verbose=True)
    narrator.opened(tmp_path, 0)
    for sweep, gap in ((1, 1e-13), (2, 1e-3)):
        narrator.sweep(sweep, {"free_energy": -300.0, "entropy_gap": gap, "n_accepted": 2.0}, ())
    narrator.close()
    first, second = capsys.readouterr().out.splitlines()
    assert first == "sweep 1/2  F -300.0000  n_accepted 2"
    assert second == "sweep 2/2  F -300.0000  entropy_gap 0.001  n_accepted 2"
