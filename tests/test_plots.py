"""Pictures and tables: the same bytes for the same data, escaped, with stable text forms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from course_lib import plots
from course_lib.plots import LivePlot, plot_losses, plot_training, side_by_side, token_strip

ROOT = Path(__file__).resolve().parents[1]
RECORDS = [
    {
        "step": n,
        "loss": 4.0 / n,
        "lr": 1e-3 / n,
        "grad_norm": 1.0,
        "tokens": 100,
        "seconds": 0.5,
        **({"eval_loss": 4.5 / n} if n % 5 == 0 else {}),
    }
    for n in range(1, 21)
]


@pytest.mark.parametrize("draw", [plot_losses, plot_training])
def test_the_same_records_give_the_same_bytes(draw):
    first, second = draw(RECORDS)._repr_png_(), draw(RECORDS)._repr_png_()
    assert first == second
    assert b"Software" not in first
    assert draw(RECORDS[:10])._repr_png_() != first


@pytest.mark.parametrize("draw", [plot_losses, plot_training])
@pytest.mark.parametrize("records", [[], RECORDS[:1], [{"step": 1, "loss": 2.0}]])
def test_few_records_draw_too(draw, records):
    assert draw(records)._repr_png_().startswith(b"\x89PNG")


def test_a_picture_says_in_words_what_is_drawn():
    assert repr(plot_losses(RECORDS)) == (
        "<training: loss 4.00 at the first step, 0.20 at step 20>"
    )


def test_the_token_strip_escapes_and_marks():
    view = token_strip(["<|user|>", "<b>", "\n", "yes", "<|end|>"], [0, False, 0, True, 1])
    assert "<b>" not in view._repr_html_() and "&lt;b&gt;" in view._repr_html_()
    assert view._repr_html_().count(plots._TRAINED) == 3  # two tokens and the legend
    assert repr(view) == "<|user|><b>\n«yes<|end|>»"


def test_the_token_strip_needs_a_mask_value_for_each_token():
    with pytest.raises(ValueError, match="2 tokens, but 1 mask"):
        token_strip(["a", "b"], [True])


def test_the_table_escapes():
    view = side_by_side([["<script>x</script>", "a\nb"]], ["question", "<i>"])
    assert "<script>" not in view._repr_html_() and "<i>" not in view._repr_html_()
    assert "a<br>b" in view._repr_html_()
    assert repr(view) == "question: <script>x</script>\n<i>: a\nb"


def test_the_table_needs_full_rows():
    with pytest.raises(ValueError, match="row 2 has 1 cells for 2 columns"):
        side_by_side([["a", "b"], ["c"]], ["x", "y"])


class Screen:
    """Stands for Jupyter: keeps what is displayed and updated."""

    def __init__(self, monkeypatch) -> None:
        self.shown: list = []
        self.updates: list = []
        monkeypatch.setattr(plots, "_in_jupyter", lambda: True)
        monkeypatch.setattr("IPython.display.display", self.display)

    def display(self, view, display_id):
        assert display_id is True
        self.shown.append(view)
        return self

    def update(self, view) -> None:
        self.updates.append(view)


def test_the_live_plot_draws_in_place(monkeypatch):
    screen = Screen(monkeypatch)
    with LivePlot(total=20, interval=0) as plot:
        for record in RECORDS:
            plot(record)
    assert len(screen.shown) == 2  # one bar, one picture; all the rest are updates
    assert len(screen.updates) == 2 * 20
    assert "trained tokens/s" in repr(screen.updates[0])


def test_the_last_state_names_no_seconds(monkeypatch):
    screen = Screen(monkeypatch)
    with LivePlot(total=20, interval=3600) as plot:
        for record in RECORDS:
            plot.update(record)
    bar, picture = screen.updates[-2:]
    assert repr(bar) == "training: step 20 of 20, loss 0.20"
    assert 'value="20" max="20"' in bar._repr_html_()
    assert picture._repr_png_() == plot_training(RECORDS)._repr_png_()


def test_redraws_are_rare(monkeypatch):
    screen = Screen(monkeypatch)
    ticks = iter(range(1000))
    with LivePlot(interval=10, clock=lambda: float(next(ticks))) as plot:
        for record in RECORDS:
            plot(record)
    assert 2 < len(screen.updates) < 20


def test_the_last_state_is_drawn_when_training_stops_early(monkeypatch):
    screen = Screen(monkeypatch)
    with pytest.raises(KeyboardInterrupt), LivePlot(total=20, interval=3600) as plot:
        plot(RECORDS[0])
        plot(RECORDS[1])
        raise KeyboardInterrupt
    assert repr(screen.updates[-2]) == "training: step 2 of 20, loss 2.00"


def test_outside_jupyter_it_only_keeps_the_records(capsys):
    with LivePlot(total=20) as plot:
        for record in RECORDS:
            plot(record)
    assert plot.records == RECORDS
    assert plot.tokens_per_second() == pytest.approx(200)
    assert capsys.readouterr() == ("", "")


def test_a_plot_of_nothing_draws_nothing(monkeypatch):
    screen = Screen(monkeypatch)
    with LivePlot():
        pass
    assert screen.shown == []


def test_importing_plots_loads_neither_matplotlib_nor_torch():
    source = "import sys, course_lib.plots; print({'matplotlib', 'torch'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_no_stage_imports_plots_or_widgets():
    above = {"plots.py", "widgets", "checks", "notebooks"}
    for path in (ROOT / "course_lib").rglob("*.py"):
        if path.relative_to(ROOT / "course_lib").parts[0] in above:
            continue
        text = path.read_text(encoding="utf-8")
        assert "course_lib.plots" not in text and "course_lib.widgets" not in text, path
