"""Pictures and tables: the same bytes for the same data, escaped, with stable text forms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from course_lib import plots
from course_lib.cleaning import Change, CleaningReport, Rejected
from course_lib.dialogue import Dialogue, Entity, Message
from course_lib.plots import (
    LivePlot,
    annotated_turns,
    edit_strip,
    entity_text,
    plot_attention,
    plot_bars,
    plot_cleaning,
    plot_confusion,
    plot_curves,
    plot_histograms,
    plot_losses,
    plot_scores,
    plot_shares,
    plot_training,
    side_by_side,
    surprise_strip,
    tag_strip,
    token_strip,
    transcript,
)

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


def test_the_surprise_strip_shades_by_nats():
    view = surprise_strip(["<b>", "low", "mid", "high", "\n"], [0.2, 1.0, 3.9, 4.0, 9.0])
    assert "<b>" not in view._repr_html_()
    assert repr(view) == "<b>lowmidhigh!\n!"
    for shade in plots._SURPRISE:  # each once in the strip and once in the legend
        assert view._repr_html_().count(shade) == 2


def test_the_surprise_strip_needs_a_loss_for_each_token():
    with pytest.raises(ValueError, match="1 tokens, but 2 losses"):
        surprise_strip(["a"], [0.1, 0.2])


class Half:
    """A measured value of one half, between a quarter and three."""

    value = 0.5
    interval = (0.25, 0.75)


def drawn(series):
    """The picture and its first axis."""
    picture = plot_curves(series, "dialogues", "exact facts", "learning")
    return picture, picture.figure.axes[0]


def test_learning_curves_are_the_same_bytes_and_said_in_words():
    series = {"base": {50: Half(), 200: Half()}, "random": {50: 0.1, 200: 0.2}}
    first, axis = drawn(series)
    assert first._repr_png_() == drawn(series)[0]._repr_png_()
    assert repr(first) == "<learning: exact facts by dialogues, base and random>"
    assert axis.get_xscale() == "log"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["50", "200"]


def test_intervals_are_drawn_where_there_are_any():
    _, axis = drawn({"base": {50: Half()}, "random": {50: 0.1}})
    heights = [
        round(float(segment[1][1] - segment[0][1]), 6)
        for container in axis.containers
        for segment in container.lines[2][0].get_segments()
    ]
    assert heights == [0.5, 0.0]


def test_shares_stand_in_clusters_with_intervals():
    groups = {"seen": {"base": Half(), "tuned": Half()}, "never": {"tuned": Half()}}
    picture = plot_shares(groups, "exact facts", "four")
    bars = [container for container in picture.figure.axes[0].containers if len(container) <= 2]
    assert repr(picture) == "<four: exact facts for seen, never; base and tuned>"
    assert picture._repr_png_() == plot_shares(groups, "exact facts", "four")._repr_png_()
    assert len(bars) >= 2
    assert picture.figure.axes[0].get_ylim() == (0.0, 1.0)


def test_the_legend_hides_no_bar():
    groups = {"seen": {"base": Half(), "tuned": 0.2}}
    figure = plot_shares(groups, "exact facts").figure
    assert figure.legends and not figure.axes[0].get_legend()


class Bounds:
    """A measured value whose interval has two ends of their own names."""

    value, low, high = 2.0, 1.5, 3.0


def test_bars_of_any_height_take_both_kinds_of_interval():
    groups = {"sound": {"raw": Bounds(), "clean": 2.5}, "cut": {"raw": Half()}}
    picture = plot_bars(groups, "loss", "damage")
    assert repr(picture) == "<damage: loss for sound, cut; raw and clean>"
    assert picture._repr_png_() == plot_bars(groups, "loss", "damage")._repr_png_()
    axis = picture.figure.axes[0]
    assert axis.get_ylim()[1] > 3.0
    spread = [
        [round(float(y), 6) for y in segment[:, 1]]
        for container in axis.containers
        if hasattr(container, "lines")
        for segment in container.lines[2][0].get_segments()
    ]
    assert spread == [[1.5, 3.0], [0.25, 0.75], [2.5, 2.5]]


def report_of_five() -> CleaningReport:
    kept = [Dialogue(name, [Message("assistant", "x")]) for name in ("a", "b", "c")]
    changes = [
        Change("repair_text", "a", 0, "HTML", "<b>x</b>", "x"),
        Change("repair_text", "a", 1, "HTML", "<b>y</b>", "y"),
        Change("redact", "a", 0, "phone", "y", "[PHONE]"),
        Change("repair_text", "gone", 0, "HTML", "<b>x</b>", "x"),
        Change("labels", "b", 0, "odd", "x", "x"),
    ]
    rejected = [Rejected("gone", "drop_loops", "a loop"), Rejected(None, "read", "bad", line=2)]
    return CleaningReport(kept, rejected, changes, 5)


def test_a_cleaning_is_drawn_step_by_step():
    picture = plot_cleaning(report_of_five())
    assert repr(picture) == "<cleaning: 5 read: 2 as they were, 1 altered, 2 set aside>"
    axis = picture.figure.axes[0]
    steps = [label.get_text() for label in axis.get_yticklabels()]
    assert steps == ["drop_loops", "labels", "read", "redact", "repair_text"]
    drawn = [[bar.get_width() for bar in bars] for bars in axis.containers]
    assert drawn == [[0, 0, 0, 1, 1], [1, 0, 1, 0, 0], [0, 1, 0, 0, 0]]
    assert picture._repr_png_() == plot_cleaning(report_of_five())._repr_png_()


def test_scores_stand_with_the_poorest_kind_first():
    figures = {
        "good": {"recall": 1.0, "precision": 1.0, "exact": 0.0},
        "poor": {"recall": 0.9, "precision": 0.2, "exact": 1.0},
    }
    picture = plot_scores(figures)
    axis = picture.figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["poor", "good"]
    assert axis.collections[1].get_offsets()[:, 0].tolist() == [0.2, 1.0]
    assert repr(picture) == "<scores: recall and precision of 2 kinds>"
    one = plot_scores(figures, count=1).figure.axes[0]
    assert [label.get_text() for label in one.get_yticklabels()] == ["poor"]
    assert one.get_title() == "the poorest 1 of 2 kinds"


def test_an_edit_shows_what_went_and_what_came():
    view = edit_strip("Corvo\u200b lamp", "Corvo lamp")
    assert repr(view) == "Corvo[-<200b>-] lamp"
    page = view._repr_html_()
    assert "&lt;200b&gt;" in page and "\u200b" not in page
    assert plots._GONE in page


def test_an_edit_of_nothing_is_the_text():
    view = edit_strip("a <b> & c", "a <b> & c")
    assert repr(view) == "a <b> & c"
    assert "<b>" not in view._repr_html_() and plots._NEW not in view._repr_html_()


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("call 0171 now", "call [PHONE] now", "call [-0171-]{+[PHONE]+} now"),
        ("", "new", "{+new+}"),
        ("old", "", "[-old-]"),
    ],
)
def test_the_text_form_of_an_edit(before: str, after: str, text: str):
    assert repr(edit_strip(before, after)) == text


def test_attention_masks_are_square_and_as_many_as_given():
    causal = [[1, 0], [1, 1]]
    picture = plot_attention({"causal": causal, "both ways": [[1, 1], [1, 1]]}, ["a", "b"])
    assert repr(picture) == "<attention: causal beside both ways, 2 tokens>"
    assert [axis.get_title() for axis in picture.figure.axes] == ["causal", "both ways"]
    squares = picture.figure.axes[0].collections[0].get_array().reshape(2, 2).tolist()
    assert squares == [[1.0, 0.0], [1.0, 1.0]]
    assert picture._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="mask 'causal' is not 3 by 3"):
        plot_attention({"causal": causal}, ["a", "b", "c"])


def test_the_table_escapes():
    view = side_by_side([["<script>x</script>", "a\nb"]], ["question", "<i>"])
    assert "<script>" not in view._repr_html_() and "<i>" not in view._repr_html_()
    assert "a<br>b" in view._repr_html_()
    assert repr(view) == "question: <script>x</script>\n<i>: a\nb"


def test_the_table_needs_full_rows():
    with pytest.raises(ValueError, match="row 2 has 1 cells for 2 columns"):
        side_by_side([["a", "b"], ["c"]], ["x", "y"])


def test_a_transcript_is_one_turn_a_line():
    turns = [Message("user", "Hi."), Message("assistant", "Hello.")]
    assert transcript(Dialogue("d", turns)) == "user: Hi.\nassistant: Hello."
    assert transcript(None) == "(set aside)"


def test_a_view_in_a_table_keeps_its_colours():
    view = token_strip(["<b>"], [True])
    table = side_by_side([[view, "<i>"]], ["tokens", "text"])
    assert view.page in table._repr_html_() and "<i>" not in table._repr_html_()
    assert repr(table) == "tokens: «<b>»\ntext: <i>"


def entity(slot: str, text: str, part: str) -> Entity:
    start = text.index(part)
    return Entity(slot, start, start + len(part), part, part)


def test_spans_are_coloured_in_their_text():
    text = "the <Brisa> kettle, order 12"
    spans = [entity("order_number", text, "12"), entity("product", text, "<Brisa> kettle")]
    view = entity_text(text, spans)
    assert repr(view) == "the [<Brisa> kettle|product], order [12|order_number]"
    assert "<Brisa>" not in view.page and view.page.count("<span") == 2
    colours = {plots._slot_colour(slot) for slot in ("product", "order_number", "address")}
    assert len(colours) == 3 and all(c in view.page for c in map(plots._slot_colour, ("product",)))


def test_overlapping_spans_are_shown_once():
    text = "the Brisa kettle"
    both = [entity("product", text, "Brisa kettle"), entity("product", text, "kettle")]
    assert repr(entity_text(text, both)) == "the [Brisa kettle|product]"


def test_turns_show_all_their_annotations():
    text = "<b> the Brisa, please"
    spans = [entity("product", text, "Brisa")]
    acts = [["request", "price"], ["greet", None]]
    view = annotated_turns([Message("user", text, "ask_price", spans, acts)])
    said = "role: user\ntext: <b> the [Brisa|product], please\nintent: ask_price"
    assert repr(view) == f"{said}\nacts: request price, greet"
    assert "<b>" not in view.page and plots._slot_colour("product") in view.page


def test_tags_stand_below_their_tokens():
    view = tag_strip([" <b>", " Brisa", " kettle"], ["O", "B-product", "I-product"])
    assert repr(view) == " <b> Brisa/B-product kettle/I-product"
    assert "<b>" not in view.page and view.page.count("B-product") == 1
    with pytest.raises(ValueError, match="1 tokens, but 2 tags"):
        tag_strip(["a"], ["O", "O"])


def test_the_confusion_matrix_shows_its_counts():
    picture = plot_confusion(["a", "b"], [[3, 1], [0, 4]], "two")
    axis = picture.figure.axes[0]
    assert repr(picture) == "<two: 2 labels, true by said>"
    shown = {text.get_position(): text.get_text() for text in axis.texts}
    assert shown == {(0, 0): "3", (1, 0): "1", (1, 1): "4"}  # (said, true); empty cells stay empty
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("said", "true")
    assert picture._repr_png_() == plot_confusion(["a", "b"], [[3, 1], [0, 4]])._repr_png_()
    with pytest.raises(ValueError, match="not 2 by 2"):
        plot_confusion(["a", "b"], [[1, 2]])


def test_histograms_are_shares_with_a_mark():
    groups = {"in scope": [0.9, 0.9, 0.1, 1.0], "outside": [0.2]}
    picture = plot_histograms(groups, "confidence", mark=0.4, name="scope")
    axis = picture.figure.axes[0]
    sums = [sum(bar.get_height() for bar in bars) for bars in axis.containers]
    assert sums == pytest.approx([1, 1])
    assert axis.lines[0].get_xdata()[0] == 0.4
    assert repr(picture) == "<scope: confidence of in scope and outside>"
    assert not plot_histograms(groups, "confidence").figure.axes[0].lines


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


def test_the_axis_names_what_the_loss_is_a_mean_over():
    turns = LivePlot(per="turn")
    for record in RECORDS:
        turns(record)
    labels = [axis.get_ylabel() for axis in turns.picture().figure.axes]
    assert "nats per turn" in labels
    assert "nats per trained token" in [
        axis.get_ylabel() for axis in plot_training(RECORDS).figure.axes
    ]


def test_a_second_run_goes_on_to_the_right():
    plot = LivePlot(total=40)
    for record in [*RECORDS, *RECORDS]:
        plot(record)
    assert [record["step"] for record in plot.records] == list(range(1, 41))


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
    above = {"plots.py", "pictures", "widgets", "checks", "notebooks"}
    for path in (ROOT / "course_lib").rglob("*.py"):
        if path.relative_to(ROOT / "course_lib").parts[0] in above:
            continue
        text = path.read_text(encoding="utf-8")
        for upper in ("plots", "pictures", "widgets"):
            assert f"course_lib.{upper}" not in text, (path, upper)
