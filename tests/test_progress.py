"""The one progress bar."""

import pytest

from jko.progress import progress_bar


def test_it_counts_what_is_done(capsys):
    with progress_bar(True, 10, "work", "step", done=4) as tick:
        tick(3)
        tick()
        assert tick.__self__.n == 8
    assert "work:" in (shown := capsys.readouterr().err)
    assert "4/10" in shown


def test_nobody_who_looks_is_shown_nothing(capsys):
    for progress in (None, False):  # no terminal, or not wanted
        with progress_bar(progress, 10, "work", "step") as tick:
            tick(10)
    assert capsys.readouterr().err == ""


def test_progress_is_true_false_or_none():
    with (
        pytest.raises(TypeError, match="progress: expected True, False or None, got 'yes'"),
        progress_bar("yes", 1, "work", "step"),
    ):
        pass
