"""What people say of replies: scales, sides, the file of a rater, and what their clicks add up to.

A rater sees a conversation and one or two replies without the names of the systems that wrote them.
Which system stands left is drawn from a seed for each rater and conversation and kept in every line
of the file. `widgets.rating` collects the clicks, `simulated_ratings` makes some up; both write the
same files.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from course_lib.annotation.agreement import Level, krippendorff_alpha, raw_agreement
from course_lib.annotation.log import Click, ClickLog, Fields, standing_clicks
from course_lib.annotation.scores import Interval
from course_lib.dialogue import DialogueError
from course_lib.metrics.intervals import bootstrap

SIDES = ("left", "right")
CHOICES = ("left", "tie", "right")
PREFERENCE = "preference"
TIE = "tie"


# ---- what is asked


@dataclass(frozen=True, slots=True)
class Scale:
    """A question with points from 1 upwards, each with a description that anchors it."""

    name: str
    question: str
    points: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A question that is answered by yes or no."""

    name: str
    question: str


@dataclass(frozen=True, slots=True)
class Form:
    """What is asked of every reply. Raises ValueError when two questions share a name."""

    scales: tuple[Scale, ...]
    behaviours: tuple[Behaviour, ...] = ()

    def __post_init__(self) -> None:
        names = [PREFERENCE, *self.names]
        if len(set(names)) != len(names) or not self.names:
            raise ValueError(f"questions {names}: one at least, each with a name of its own")
        for scale in self.scales:
            if len(scale.points) < 2 or not all(scale.points):
                raise ValueError(f"scale {scale.name!r}: describe each of its points, two at least")

    @property
    def names(self) -> list[str]:
        return [scale.name for scale in self.scales] + [asked.name for asked in self.behaviours]

    def level(self, name: str) -> Level:
        """How far two answers can be apart: ranks on a scale, equal or not elsewhere."""
        return "ordinal" if name in {scale.name for scale in self.scales} else "nominal"


FORM = Form(
    (
        Scale(
            "fluency",
            "Is it well written?",
            (
                "cannot be read",
                "takes effort to read",
                "clear, with several mistakes",
                "one small slip",
                "nothing to mend",
            ),
        ),
        Scale(
            "relevance",
            "Does it speak to what the customer said?",
            (
                "of something else",
                "of the topic, not of the wish",
                "of a part of the wish",
                "of the wish, with side matters",
                "of the wish and nothing else",
            ),
        ),
        Scale(
            "helpfulness",
            "Does it bring the customer further?",
            (
                "leads astray",
                "no step further",
                "a small step",
                "nearly there",
                "all that could be done now",
            ),
        ),
    ),
    (
        Behaviour("asks back", "Does it ask for something that it needs to know?"),
        Behaviour("states a fact", "Does it state a fact about a product or an order?"),
    ),
)


@dataclass(frozen=True, slots=True)
class Item:
    """A conversation up to a customer's turn, and the reply of one or two systems to it.

    `replies` is system -> reply. Raises ValueError for another number of systems.
    """

    id: str
    history: tuple[Mapping[str, Any], ...]
    replies: Mapping[str, str]

    def __post_init__(self) -> None:
        if not 1 <= len(self.replies) <= len(SIDES):
            raise ValueError(
                f"item {self.id!r} has replies of {len(self.replies)} systems: show one or two"
            )

    @property
    def shown(self) -> str:
        """A hash of all that is shown, so that ratings never stand for other texts."""
        turns = [(turn["role"], turn["content"]) for turn in self.history]
        text = repr((turns, sorted(self.replies.items())))
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def items_of(
    ids: Sequence[str],
    histories: Sequence[Sequence[Mapping[str, Any]]],
    replies: Mapping[str, Sequence[str]],
) -> list[Item]:
    """One item for each id, from the replies of one or two systems in the order of the ids."""
    for system, texts in replies.items():
        if len(texts) != len(ids):
            raise ValueError(f"{len(ids)} items, but {len(texts)} replies of {system!r}")
    rows = zip(ids, histories, strict=True)
    return [
        Item(name, tuple(history), {system: texts[i] for system, texts in replies.items()})
        for i, (name, history) in enumerate(rows)
    ]


def sides_of(item: Item, rater: str, seed: int = 0) -> list[str]:
    """The systems from left to right, as a rater sees them; the same for the same seed."""
    systems = sorted(item.replies)
    random.Random(f"{seed}/{rater}/{item.id}").shuffle(systems)
    return systems


# ---- the file of a rater


@dataclass(slots=True)
class Said:
    """What a rater said of one item; `answers` is (side, question) -> value."""

    answers: dict[tuple[str, str], int] = field(default_factory=dict)
    choice: str | None = None
    skipped: bool = False

    def is_done(self, form: Form, sides: Sequence[str]) -> bool:
        """Whether nothing is left to ask."""
        wanted = {(side, name) for side in SIDES[: len(sides)] for name in form.names}
        compared = len(sides) == 1 or self.choice is not None
        return self.skipped or (compared and wanted <= set(self.answers))


_SHOWN: Fields = {"sides": list, "shown": str, "simulated": bool}


class RatingLog(ClickLog):
    """The file of one rater: a point on a scale, a yes or no, a preference or a skip a click."""

    holds = "ratings"
    place: ClassVar[Fields] = {"rater": str, "item": str}
    actions: ClassVar[dict[str, Fields]] = {
        "score": {"side": str, "question": str, "value": int} | _SHOWN,
        "answer": {"side": str, "question": str, "value": bool} | _SHOWN,
        "prefer": {"choice": str} | _SHOWN,
        "skip": {},
    }

    @classmethod
    def check(cls, click: Any) -> None:
        """Raises DialogueError for what is no click of a rater."""
        super().check(click)
        sides = click.get("sides", ["?"])
        if not 1 <= len(sides) <= 2 or not all(isinstance(name, str) for name in sides):
            raise DialogueError("'sides' must name one system or two")
        for name, allowed in (("choice", CHOICES), ("side", SIDES[: len(sides)])):
            if name in click and click[name] not in allowed:
                raise DialogueError(f"{name!r} must be one of {', '.join(allowed)}")

    def said(self) -> dict[str, Said]:
        """What now holds of each item that was clicked on."""
        return said_of(self.clicks)


def said_of(clicks: Iterable[Click]) -> dict[str, Said]:
    """Item -> what one rater's clicks amount to: the latest of each question."""
    found: dict[str, Said] = {}
    for click in standing_clicks(clicks):
        said = found.setdefault(click["item"], Said())
        said.skipped = click["action"] == "skip"
        if click["action"] == "prefer":
            said.choice = click["choice"]
        elif click["action"] != "skip":
            said.answers[click["side"], click["question"]] = int(click["value"])
    return found


# ---- many raters


@dataclass(frozen=True, slots=True)
class Judgement:
    """One rater's answer about one system's reply: a point, or 1 for yes and 0 for no."""

    rater: str
    item: str
    system: str
    question: str
    value: int


@dataclass(frozen=True, slots=True)
class Preference:
    """Which of two systems a rater preferred; None is a tie."""

    rater: str
    item: str
    left: str
    right: str
    winner: str | None

    @property
    def loser(self) -> str | None:
        if self.winner is None:
            return None
        return self.right if self.winner == self.left else self.left


@dataclass(frozen=True, slots=True)
class Ratings:
    """All that raters said; `simulated` when any of it was made up by a program."""

    judgements: tuple[Judgement, ...]
    preferences: tuple[Preference, ...]
    simulated: bool

    @property
    def raters(self) -> list[str]:
        found = {judgement.rater for judgement in self.judgements}
        return sorted(found | {preference.rater for preference in self.preferences})

    @property
    def systems(self) -> list[str]:
        seen = {judgement.system for judgement in self.judgements}
        return sorted(seen | {s for p in self.preferences for s in (p.left, p.right)})

    @property
    def questions(self) -> list[str]:
        return list(dict.fromkeys(judgement.question for judgement in self.judgements))

    def __str__(self) -> str:
        kind = "SIMULATED ratings, by no person" if self.simulated else "ratings"
        return (
            f"{kind}: {len(self.raters)} raters, {len(self.judgements):,} answers, "
            f"{len(self.preferences):,} preferences"
        )


def read_ratings(*paths: str | Path) -> Ratings:
    """The ratings in the files of raters. A skipped item does not count.

    Raises DialogueError with file and line for what is no click, ValueError when a rater has two
    files or when one item was shown with other texts to another rater.
    """
    found = [_one_file(Path(path)) for path in paths]
    _require_own_files(found, paths)
    _require_same_texts([click for _, clicks in found for click in clicks])
    clicks = [click for _, standing in found for click in standing]
    judgements = [_judgement(c) for c in clicks if c["action"] in ("score", "answer")]
    preferences = [_preference(c) for c in clicks if c["action"] == "prefer"]
    simulated = any(click.get("simulated") for click in clicks)
    return Ratings(tuple(judgements), tuple(preferences), simulated)


def _one_file(path: Path) -> tuple[set[str], list[Click]]:
    """The raters of a file, and of its clicks the latest for each question."""
    standing = standing_clicks(RatingLog.read(path))
    skipped = {name for name, said in said_of(standing).items() if said.skipped}
    latest: dict[tuple[Any, ...], Click] = {}
    for click in standing:
        if click["item"] not in skipped and click["action"] != "skip":
            latest[click["item"], click.get("side"), click.get("question")] = click
    return {click["rater"] for click in standing}, list(latest.values())


def _require_own_files(
    found: Sequence[tuple[set[str], list[Click]]], paths: Sequence[str | Path]
) -> None:
    seen: dict[str, str] = {}
    for (raters, _), path in zip(found, paths, strict=True):
        for rater in sorted(raters):
            name = Path(path).name
            if rater in seen:
                raise ValueError(f"rater {rater!r} stands in {seen[rater]} and in {name}: keep one")
            seen[rater] = name


def _require_same_texts(clicks: Sequence[Click]) -> None:
    shown: dict[str, str] = {}
    for click in clicks:
        if shown.setdefault(click["item"], click["shown"]) != click["shown"]:
            raise ValueError(
                f"item {click['item']!r} was shown with other texts to {click['rater']!r}: ratings "
                "of different replies cannot be put together"
            )


def _judgement(click: Click) -> Judgement:
    system = click["sides"][SIDES.index(click["side"])]
    return Judgement(click["rater"], click["item"], system, click["question"], int(click["value"]))


def _preference(click: Click) -> Preference:
    left, right = click["sides"]
    winner = {"left": left, "right": right}.get(click["choice"])
    return Preference(click["rater"], click["item"], left, right, winner)


# ---- the analysis


def mean_values(
    ratings: Ratings, question: str, resamples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """System -> mean answer (share of yes for a behaviour), items resampled."""
    found: dict[str, Interval] = {}
    for system in ratings.systems:
        rows = [j for j in ratings.judgements if (j.question, j.system) == (question, system)]
        if rows:
            values, groups = [j.value for j in rows], [j.item for j in rows]
            found[system] = bootstrap(values, groups, resamples=resamples, seed=seed)
    if not found:
        raise ValueError(f"nobody answered {question!r}; asked was {', '.join(ratings.questions)}")
    return found


def severity(ratings: Ratings, question: str) -> dict[str, float]:
    """Rater -> mean answer: who is strict, who is kind."""
    values: dict[str, list[int]] = defaultdict(list)
    for judgement in ratings.judgements:
        if judgement.question == question:
            values[judgement.rater].append(judgement.value)
    return {rater: sum(of) / len(of) for rater, of in sorted(values.items())}


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often one system was preferred; in `rate` a tie counts as half a win."""

    wins: int
    ties: int
    losses: int
    rate: Interval

    def __str__(self) -> str:
        return f"{self.wins} won, {self.ties} tied, {self.losses} lost: {self.rate}"


def win_rate(
    preferences: Iterable[Preference], system: str, resamples: int = 1000, seed: int = 0
) -> WinRate:
    """Wins of a system in the comparisons that it took part in, items resampled."""
    rows = [p for p in preferences if system in (p.left, p.right)]
    if not rows:
        raise ValueError(f"no comparison with {system!r}")
    wins, losses = (sum(system == name for name in names) for names in _outcomes(rows))
    values = [0.5 if p.winner is None else float(p.winner == system) for p in rows]
    rate = bootstrap(values, [p.item for p in rows], resamples=resamples, seed=seed)
    return WinRate(wins, len(rows) - wins - losses, losses, rate)


def _outcomes(rows: Sequence[Preference]) -> tuple[list[str | None], list[str | None]]:
    return [p.winner for p in rows], [p.loser for p in rows]


def left_rate(
    preferences: Iterable[Preference],
    rater: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Share of the decided comparisons that the left side won; near one half without a habit.

    Of one rater, or of all together.
    """
    rows = [p for p in preferences if p.winner is not None and rater in (None, p.rater)]
    if not rows:
        raise ValueError(f"no comparison was decided by {rater or 'anybody'}")
    values, groups = [float(p.winner == p.left) for p in rows], [p.item for p in rows]
    return bootstrap(values, groups, resamples=resamples, seed=seed)


@dataclass(frozen=True, slots=True)
class RatingAgreement:
    """How far raters agree on one question; `units` were rated by two or more."""

    question: str
    units: int
    raw: Interval
    alpha: Interval

    def __str__(self) -> str:
        return f"{self.question}: {self.units} units, raw {self.raw}, alpha {self.alpha}"


def rating_agreement(
    ratings: Ratings,
    question: str,
    level: Level | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> RatingAgreement:
    """Raw agreement and Krippendorff's alpha with intervals, items resampled.

    A unit is one reply, for `PREFERENCE` one comparison. `level` is by default FORM's. An interval
    leaves out resamples in which all answers are the same, as alpha is undefined there.
    """
    level = level or FORM.level(question)
    by_item = _units(ratings, question)
    units = [unit for of in by_item for unit in of if len(unit) > 1]
    if not units:
        raise ValueError(f"no reply has two answers to {question!r}: agreement takes two raters")
    drawn = np.random.default_rng(seed).integers(0, len(by_item), (resamples, len(by_item)))
    samples = [[unit for i in draw for unit in by_item[i]] for draw in drawn]
    raters = ratings.raters

    def interval(measure: Callable[[list[list[Any]]], float]) -> Interval:
        return _interval(measure, units, samples, raters)

    alpha = interval(lambda table: krippendorff_alpha(table, level))
    return RatingAgreement(question, len(units), interval(raw_agreement), alpha)


def _units(ratings: Ratings, question: str) -> list[list[dict[str, Any]]]:
    """For each item its units, as rater -> answer."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
    if question == PREFERENCE:
        for p in ratings.preferences:
            found[p.item][PREFERENCE][p.rater] = p.winner or f"({TIE})"
    for j in ratings.judgements:
        if j.question == question:
            found[j.item][j.system][j.rater] = j.value
    return [list(by_system.values()) for by_system in found.values()]


def _interval(
    measure: Callable[[list[list[Any]]], float],
    units: Sequence[dict[str, Any]],
    samples: Sequence[Sequence[dict[str, Any]]],
    raters: Sequence[str],
) -> Interval:
    def of(chosen: Sequence[dict[str, Any]]) -> float:
        return measure([[unit.get(rater) for unit in chosen] for rater in raters])

    value = of(units)
    if value != value:
        return Interval(value, value, value)
    comparable = (s for s in samples if any(len(unit) > 1 for unit in s))
    low, high = np.nanquantile([of(sample) for sample in comparable], [0.025, 0.975])
    return Interval(value, float(low), float(high))


def rating_table(ratings: Ratings, resamples: int = 200) -> str:
    """Means by system with raw agreement and alpha, a line a question; then the comparison."""
    systems = ratings.systems
    head = f"{'question':<15}" + "".join(f"{name:>24}" for name in systems)
    lines = [str(ratings), f"{head}{'raw':>7}{'alpha':>8}"]
    for question in ratings.questions:
        means, agreed = mean_values(ratings, question), rating_agreement(ratings, question)
        cells = "".join(f"{_short(means.get(name)):>24}" for name in systems)
        lines.append(f"{question:<15}{cells}{agreed.raw.value:>7.2f}{agreed.alpha.value:>8.2f}")
    if ratings.preferences:
        lines += [f"{name}: {win_rate(ratings.preferences, name)}" for name in systems]
    return "\n".join(lines)


def _short(found: Interval | None) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})" if found else "–"
