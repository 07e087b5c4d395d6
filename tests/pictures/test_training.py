"""Pictures of training: what is drawn is what the records hold, and the words name it."""

from __future__ import annotations

import pytest

from course_lib.pictures.training import plot_run, plot_runs, plot_schedules

RECORDS = [
    {
        "step": step,
        "loss": 5.0 / step,
        "lr": 0.1 * step,
        "grad_norm": 2.0 / step,
        "tokens": 50 * step,
        "seconds": 0.5,
        **({"eval_loss": 3.0, "eval_accuracy": 0.4} if step % 2 == 0 else {}),
    }
    for step in range(1, 7)
]


def lines_of(picture) -> dict[str, list[float]]:
    """The last line drawn in each panel, by the panel's label."""
    axes = picture.figure.axes
    return {a.get_ylabel(): list(a.lines[0].get_ydata()) for a in axes if a.lines}


def test_a_run_shows_all_that_it_logs():
    picture = plot_run(RECORDS, clip=1.0, name="a run")
    lines = lines_of(picture)
    assert lines["held-out token accuracy"] == [0.4, 0.4, 0.4]
    assert lines["gradient norm"] == pytest.approx([2.0 / n for n in range(1, 7)])
    assert lines["learning rate"] == pytest.approx([0.1 * n for n in range(1, 7)])
    assert lines["trained tokens a second"] == [100.0 * n for n in range(1, 7)]
    norm = next(a for a in picture.figure.axes if a.get_ylabel() == "gradient norm")
    assert list(norm.lines[1].get_ydata()) == [1.0, 1.0]
    assert repr(picture) == "<a run: loss 5.00 at the first step, 0.83 at step 6>"


@pytest.mark.parametrize("records", [[], [{"step": 1, "loss": 2.0}]])
def test_little_to_show_is_no_error(records):
    assert plot_run(records)._repr_png_().startswith(b"\x89PNG")


def test_runs_stand_beside_each_other_on_one_scale():
    picture = plot_runs({"A": RECORDS, "B": RECORDS[:3]}, beside=RECORDS)
    above = picture.figure.axes[:2]
    assert [a.get_title() for a in above] == ["A", "B"]
    assert [len(a.lines[1].get_xdata()) for a in above] == [6, 3]
    assert above[0].get_ylim() == above[1].get_ylim()
    assert repr(picture) == "<runs: loss and gradient norm of A, B>"


def test_schedules_are_lines_by_step():
    picture = plot_schedules({"linear": [0.0, 2.0, 1.0], "constant": [1.0, 1.0, 1.0]})
    first = picture.figure.axes[0].lines[0]
    assert (list(first.get_xdata()), list(first.get_ydata())) == ([1, 2, 3], [0.0, 2.0, 1.0])
    assert repr(picture) == "<schedules: linear, constant over 3 steps>"


def test_the_same_picture_has_the_same_bytes():
    assert plot_run(RECORDS)._repr_png_() == plot_run(RECORDS)._repr_png_()
