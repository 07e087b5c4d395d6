"""The analysis of ratings, on clicks whose meaning is known, and on simulated raters."""

from __future__ import annotations

import json

import pytest

from course_lib.annotation.agreement import krippendorff_alpha
from course_lib.dialogue import DialogueError
from course_lib.metrics.ratings import (
    FORM,
    PREFERENCE,
    Behaviour,
    Form,
    Item,
    Judgement,
    Preference,
    RatingLog,
    Ratings,
    Scale,
    items_of,
    left_rate,
    mean_values,
    rating_agreement,
    rating_table,
    read_ratings,
    severity,
    sides_of,
    win_rate,
)
from course_lib.metrics.simulated_ratings import RATERS, Rater, write_simulated

TURN = ({"role": "user", "content": "hi"},)
SHOWN = {"sides": ["b", "a"], "shown": "0", "simulated": False}


def some_items(count: int) -> list[Item]:
    return [Item(f"i{n}", TURN, {"good": f"yes {n}", "poor": f"no {n}"}) for n in range(count)]


def quality(item: Item, system: str, question: str) -> float:
    if question in {"asks back", "states a fact"}:
        return 0.9 if system == "good" else 0.1
    return {"good": 4.2, "poor": 2.4}[system]


def judged(rows: dict[str, list[int | None]], question: str = "fluency") -> Ratings:
    """Rater -> values of the items in order, for one system."""
    found = [
        Judgement(rater, f"i{n}", "a", question, value)
        for rater, values in rows.items()
        for n, value in enumerate(values)
        if value is not None
    ]
    return Ratings(tuple(found), (), False)


def test_sides_become_systems(tmp_path):
    log = RatingLog(tmp_path / "r.jsonl")
    place = ("ana", "i0")
    log.append("score", place, side="left", question="fluency", value=5, **SHOWN)
    log.append("score", place, side="right", question="fluency", value=2, **SHOWN)
    log.append("answer", place, side="right", question="asks back", value=True, **SHOWN)
    log.append("prefer", place, choice="right", **SHOWN)
    found = read_ratings(log.path)
    assert [(j.system, j.question, j.value) for j in found.judgements] == [
        ("b", "fluency", 5),
        ("a", "fluency", 2),
        ("a", "asks back", 1),
    ]
    assert found.preferences == (Preference("ana", "i0", "b", "a", "a"),)
    assert found.preferences[0].loser == "b" and found.systems == ["a", "b"]


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "prefer", "choice": "middle", **SHOWN},
        {"action": "score", "side": "above", "question": "fluency", "value": 1, **SHOWN},
        {"action": "score", "side": "left", "question": "fluency", "value": True, **SHOWN},
        {"action": "prefer", "choice": "left", **SHOWN, "sides": []},
        {"action": "prefer", "choice": "left", **SHOWN, "sides": [1, 2]},
        {"action": "score", "side": "right", "question": "q", "value": 1, **SHOWN, "sides": ["a"]},
        {"action": "intent", "intent": "thanks"},
    ],
)
def test_what_is_no_rating_is_named_with_its_line(tmp_path, fields):
    path = tmp_path / "r.jsonl"
    good = {"click": 1, "action": "skip", "rater": "ana", "item": "i0"}
    bad = {"click": 2, "rater": "ana", "item": "i0"} | fields
    path.write_text(f"{json.dumps(good)}\n{json.dumps(bad)}\n")
    with pytest.raises(DialogueError, match="r.jsonl, line 2: no click"):
        read_ratings(path)
    with pytest.raises(DialogueError):
        RatingLog(tmp_path / "new.jsonl").append(
            bad["action"], ("ana", "i0"), **{k: v for k, v in fields.items() if k != "action"}
        )


def test_a_rater_with_two_files_and_other_texts_are_refused(tmp_path):
    items = some_items(2)
    one = write_simulated(tmp_path / "one", items, quality)
    with pytest.raises(ValueError, match="'simulated-1' stands in"):
        read_ratings(one[0], *write_simulated(tmp_path / "two", items, quality)[:1])
    changed = [Item(i.id, i.history, i.replies | {"good": "else"}) for i in items]
    other = write_simulated(tmp_path / "three", changed, quality)
    with pytest.raises(ValueError, match="item 'i0' was shown with other texts"):
        read_ratings(one[0], other[1])


def test_win_rates_count_a_tie_as_half():
    rows = [
        Preference("r", f"i{n}", "a", "b", winner)
        for n, winner in enumerate(["a", "a", "b", None, None, "a"])
    ]
    found = win_rate(rows, "a")
    assert (found.wins, found.ties, found.losses) == (3, 2, 1)
    assert found.rate.value == pytest.approx((3 + 2 / 2) / 6)
    assert win_rate(rows, "b").rate.value == pytest.approx(1 - found.rate.value)
    assert found.rate.low < found.rate.value < found.rate.high
    assert left_rate(rows).value == left_rate(rows, "r").value == pytest.approx(3 / 4)
    with pytest.raises(ValueError, match="decided by zoe"):
        left_rate(rows, "zoe")
    with pytest.raises(ValueError, match="no comparison with 'c'"):
        win_rate(rows, "c")


def test_items_are_resampled_not_answers():
    """Twenty raters who say the same of four items are no eighty independent comparisons."""
    winners = ["a", "b", "a", "b"]
    rows = [
        Preference(f"r{r}", f"i{n}", "a", "b", w) for r in range(20) for n, w in enumerate(winners)
    ]
    found = win_rate(rows, "a").rate
    assert found.high - found.low > 0.7
    loose = [
        Preference("r", f"i{r}-{n}", "a", "b", w) for r in range(20) for n, w in enumerate(winners)
    ]
    apart = win_rate(loose, "a").rate
    assert apart.high - apart.low < 0.3


def test_agreement_is_that_of_the_library():
    rows = {"x": [1, 2, 3, 3, 2, 1, 4, 5], "y": [1, 2, 4, 3, 2, 2, 4, None]}
    found = rating_agreement(judged(rows), "fluency")
    assert found.alpha.value == pytest.approx(krippendorff_alpha(list(rows.values()), "ordinal"))
    assert found.raw.value == pytest.approx(5 / 7) and found.units == 7
    assert found.alpha.low <= found.alpha.value <= found.alpha.high
    nominal = rating_agreement(judged(rows), "fluency", level="nominal").alpha.value
    assert nominal != pytest.approx(found.alpha.value)


def test_skewed_ratings_have_high_raw_agreement_and_no_alpha():
    rows = {"x": [5] * 95 + [4] * 5, "y": [4] * 2 + [5] * 98}
    found = rating_agreement(judged(rows), "fluency")
    assert found.raw.value > 0.9 and abs(found.alpha.value) < 0.1
    assert found.alpha.low < 0.1


def test_equal_answers_throughout_leave_alpha_undefined():
    found = rating_agreement(judged({"x": [5, 5], "y": [5, 5]}), "fluency")
    assert found.raw.value == 1 and found.alpha.value != found.alpha.value


def test_agreement_needs_two_raters():
    with pytest.raises(ValueError, match="agreement takes two raters"):
        rating_agreement(judged({"x": [1, 2]}), "fluency")


def test_the_side_by_side_has_an_agreement_too():
    rows = [
        Preference(r, f"i{n}", *pair, w)
        for r, pair in (("x", ("a", "b")), ("y", ("b", "a")))
        for n, w in enumerate(["a", "b", None, "a"])
    ]
    found = rating_agreement(Ratings((), tuple(rows), False), PREFERENCE)
    assert (found.raw.value, found.alpha.value) == (1, 1)


def test_means_and_severity():
    rows = {"x": [1, 3], "y": [3, 5]}
    assert mean_values(judged(rows), "fluency")["a"].value == 3
    assert severity(judged(rows), "fluency") == {"x": 2, "y": 4}
    with pytest.raises(ValueError, match="nobody answered 'wit'"):
        mean_values(judged(rows), "wit")


def test_a_form_needs_described_points_and_names_of_their_own():
    scale = Scale("fluency", "?", ("bad", "good"))
    with pytest.raises(ValueError, match="a name of its own"):
        Form((scale,), (Behaviour("fluency", "?"),))
    with pytest.raises(ValueError, match="a name of its own"):
        Form((Scale(PREFERENCE, "?", ("a", "b")),))
    with pytest.raises(ValueError, match="describe each"):
        Form((Scale("wit", "?", ("none", "")),))
    assert FORM.level("fluency") == "ordinal" and FORM.level("asks back") == "nominal"


@pytest.mark.parametrize("replies", [{}, {"a": "x", "b": "y", "c": "z"}])
def test_an_item_has_one_or_two_replies(replies):
    with pytest.raises(ValueError, match="show one or two"):
        Item("i", TURN, replies)


def test_items_are_put_together_by_place():
    found = items_of(["p", "q"], [TURN, TURN], {"a": ["1", "2"], "b": ["3", "4"]})
    assert found[1] == Item("q", TURN, {"a": "2", "b": "4"})
    with pytest.raises(ValueError, match="2 items, but 1 replies of 'b'"):
        items_of(["p", "q"], [TURN, TURN], {"a": ["1", "2"], "b": ["3"]})


# ---- simulated raters


def test_simulated_ratings_say_so_everywhere(tmp_path):
    paths = write_simulated(tmp_path, some_items(5), quality)
    lines = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    assert all(line["simulated"] is True for line in lines)
    assert all(line["rater"].startswith("simulated") for line in lines)
    found = read_ratings(*paths)
    assert found.simulated and str(found).startswith("SIMULATED ratings, by no person: 3 raters")
    assert rating_table(found).startswith("SIMULATED")


def test_ratings_of_people_are_not_called_simulated(tmp_path):
    log = RatingLog(tmp_path / "r.jsonl")
    log.append("prefer", ("ana", "i0"), choice="tie", **SHOWN)
    assert str(read_ratings(log.path)).startswith("ratings: 1 raters")


def test_simulated_ratings_are_the_same_for_the_same_seed(tmp_path):
    def written(folder, seed):
        paths = write_simulated(tmp_path / folder, some_items(5), quality, seed=seed)
        return [path.read_bytes() for path in paths]

    assert written("a", 0) == written("b", 0) != written("c", 1)


def test_simulated_raters_find_the_better_system_and_lean_left(tmp_path):
    found = read_ratings(*write_simulated(tmp_path, some_items(60), quality))
    assert win_rate(found.preferences, "good").rate.low > 0.9
    means = mean_values(found, "helpfulness")
    assert means["good"].low > means["poor"].high
    of = severity(found, "fluency")
    assert of["simulated-2"] < of["simulated-1"] < of["simulated-3"]
    assert mean_values(found, "asks back")["good"].value > 0.8


def test_a_leaning_rater_shows_in_the_left_rate(tmp_path):
    equal = [Item(f"i{n}", TURN, {"a": "x", "b": "y"}) for n in range(300)]
    rates = {}
    for lean in (0.0, 1.0):
        rater = Rater("simulated", leans_left=lean)
        paths = write_simulated(tmp_path / str(lean), equal, lambda *_: 3.0, [rater])
        rates[lean] = left_rate(read_ratings(*paths).preferences)
    assert rates[0.0].low < 0.5 < rates[0.0].high
    assert rates[1.0].low > 0.7


def test_sides_stand_in_every_simulated_line(tmp_path):
    items = some_items(4)
    paths = write_simulated(tmp_path, items, quality, seed=3)
    for path, rater in zip(paths, RATERS, strict=True):
        for line in map(json.loads, path.read_text().splitlines()):
            item = next(i for i in items if i.id == line["item"])
            assert line["sides"] == sides_of(item, rater.name, 3)
            assert line["shown"] == item.shown


def test_the_file_of_a_labeller_is_refused_and_left_alone(tmp_path):
    from course_lib.annotation.log import LabelLog

    LabelLog(tmp_path / "labels.jsonl").append("intent", ("d1", 0), intent="thanks")
    before = (tmp_path / "labels.jsonl").read_bytes()
    with pytest.raises(DialogueError, match="labels.jsonl, line 1: no click"):
        RatingLog(tmp_path / "labels.jsonl")
    assert (tmp_path / "labels.jsonl").read_bytes() == before


def test_half_a_line_at_the_end_is_cut_off(tmp_path):
    path = tmp_path / "r.jsonl"
    RatingLog(path).append("prefer", ("ana", "i0"), choice="left", **SHOWN)
    with path.open("ab") as file:
        file.write(b'{"click": 2, "action": "pre')
    assert len(read_ratings(path).preferences) == 1
    RatingLog(path).append("prefer", ("ana", "i1"), choice="tie", **SHOWN)
    assert [p.winner for p in read_ratings(path).preferences] == ["b", None]
