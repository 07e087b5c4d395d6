"""What a policy is worth: success, turns, asking, confirming, remembering, handing over, richness.

Every figure comes with an interval by bootstrap over episodes (for pass^k over goals, for richness
over blocks of episodes), as turns of one episode resemble each other. Success is never shown
without richness: what pays for success alone soon speaks in one sentence.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import comb

import numpy as np

from course_lib.annotation.scores import (
    RIGHT,
    SAID,
    TRUE,
    Interval,
    bootstrap,
    micro_precision,
    micro_recall,
)
from course_lib.policy.customer import Step
from course_lib.policy.episodes import Episode
from course_lib.policy.understanding import mask

BLOCK = 10  # episodes whose replies are compared for richness
HARMFUL = ("acted unasked", "acted unconfirmed", "acted against a no", "acted without asking")
Counts = tuple[float, float, float]  # right, said, true


def policy_measures(episodes: Sequence[Episode], samples: int = 1000) -> dict[str, Interval]:
    """All measures by name, each with its interval; the order is that of the table."""
    if not episodes:
        raise ValueError("no episodes: play some first")
    found = {"success": _share(episodes, lambda e: (e.success, 0, 1), samples)}
    found["harmful"] = _share(episodes, _harmful, samples)
    found["turns"] = _share(episodes, lambda e: (len(e.steps), 0, 1), samples)
    for name, judge in _JUDGES.items():
        counts = _counts(episodes, judge)
        found[f"{name} precision"] = bootstrap(counts, micro_precision, samples)
        found[f"{name} recall"] = bootstrap(counts, micro_recall, samples)
    found["asked again"] = _share(episodes, _asked_again, samples)
    found["remembered"] = _share(episodes, _remembered, samples)
    found["words a reply"] = _share(episodes, _length, samples)
    found |= richness([episode.replies for episode in episodes], samples)
    return found


def pass_hat_k(episodes: Iterable[Episode], k: int, samples: int = 1000) -> Interval:
    """pass^k: the chance that k courses of the same goal all succeed, with an interval over goals.

    Of n courses with c successes it is C(c, k) / C(n, k) for one goal. Raises ValueError where a
    goal was played fewer than k times. Source: Yao et al. (2024), tau-bench.
    """
    courses: dict[str, list[bool]] = defaultdict(list)
    for episode in episodes:
        courses[episode.goal.id].append(episode.success)
    fewest = min((len(course) for course in courses.values()), default=0)
    if not 1 <= k <= fewest:
        raise ValueError(
            f"pass^{k} needs every goal played at least {k} times, and one was played {fewest} "
            "times: draw customers with `repeats`"
        )
    chances = [comb(sum(c), k) / comb(len(c), k) for c in courses.values()]
    counts = np.array([[(chance, 0.0, 1.0)] for chance in chances])
    return bootstrap(counts, micro_recall, samples)


# ---- one reply


def _ask(step: Step) -> Counts:
    """Asked when something was missing, and for that."""
    due = {slot for act, slot in step.due if act == "request"}
    asked = set(step.turn.asked())
    return bool(due & asked), bool(asked), bool(due)


def _confirm(step: Step) -> Counts:
    """Confirmed before acting, and the right thing."""
    due = {act for act in step.due if act[0] == "confirm"}
    confirmed = {act for act in step.turn.acts if act[0] == "confirm"}
    return bool(due & confirmed), bool(confirmed), bool(due)


def _hand_over(step: Step) -> Counts:
    due, done = ("handover", None) in step.due, step.turn.does("handover")
    return due and done, done, due


_JUDGES: dict[str, Callable[[Step], Counts]] = {
    "ask": _ask,
    "confirm": _confirm,
    "hand over": _hand_over,
}


def _kept(step: Step, slot: str) -> bool:
    """Whether a reply builds on a slot told earlier: does what is due, and mixes up nothing."""
    right = step.turn.slots.get(slot, step.carried[slot]) == step.carried[slot]
    return bool(step.due & set(step.turn.acts)) and slot not in step.turn.asked() and right


# ---- one episode


def _harmful(episode: Episode) -> Counts:
    """Whether something was done that the customer had not asked for or agreed to."""
    return any(outcome in HARMFUL for outcome in episode.outcomes), 0, 1


def _asked_again(episode: Episode) -> Counts:
    """Replies that ask for what was told, of all replies."""
    return sum(bool(step.again) for step in episode.steps), 0, len(episode.steps)


def _remembered(episode: Episode) -> Counts:
    """Slots told before the customer's last message, and those that the reply builds on."""
    kept = [_kept(step, slot) for step in episode.steps for slot in step.carried]
    return sum(kept), 0, len(kept)


def _length(episode: Episode) -> Counts:
    return sum(len(reply.split()) for reply in episode.replies), 0, len(episode.replies)


# ---- all episodes


def _counts(episodes: Sequence[Episode], judge: Callable[[Step], Counts]) -> np.ndarray:
    """(E, 1, 3): right, said and true replies of each episode."""
    rows = np.zeros((len(episodes), 1, 3))
    for row, episode in zip(rows, episodes, strict=True):
        for step in episode.steps:
            row[0, [RIGHT, SAID, TRUE]] += judge(step)
    return rows


def _share(
    episodes: Sequence[Episode], judge: Callable[[Episode], Counts], samples: int
) -> Interval:
    counts = np.array([[judge(episode)] for episode in episodes], dtype=float)
    return bootstrap(counts, micro_recall, samples)


def richness(
    replies: Sequence[Sequence[str]], samples: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Shares of different words, word pairs and whole replies, by talks of one agent.

    Names, numbers and values are masked, so that copying them makes nobody eloquent. Counted in
    blocks of `BLOCK` shuffled talks, as the share of different words falls with the length of a
    text: agents compare also where they were played against different numbers of customers.
    """
    texts = [[mask(reply).text.lower() for reply in talk] for talk in replies]
    random.Random(seed).shuffle(texts)
    full = max(1, len(texts) // BLOCK)
    blocks = [
        [text for talk in texts[i * BLOCK : (i + 1) * BLOCK] for text in talk] for i in range(full)
    ]
    found = {}
    for name, n in (("distinct-1", 1), ("distinct-2", 2)):
        grams = [[gram for text in block for gram in _grams(text, n)] for block in blocks]
        found[name] = _different(grams, samples)
    return found | {"different replies": _different(blocks, samples)}


def _grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def _different(blocks: Sequence[Sequence[object]], samples: int) -> Interval:
    counts = np.array([[(len(set(block)), 0, len(block))] for block in blocks], dtype=float)
    return bootstrap(counts, micro_recall, samples)


# ---- the table


def policy_table(agents: Mapping[str, Sequence[Episode]], samples: int = 1000) -> str:
    """The measures as readable text: a row each, a column for each agent, intervals in brackets."""
    columns = {name: policy_measures(episodes, samples) for name, episodes in agents.items()}
    width = 20
    lines = [f"{'':<20}" + "".join(f"{name:>{width}}" for name in columns)]
    for row in next(iter(columns.values())):
        cells = "".join(f"{_cell(found[row]):>{width}}" for found in columns.values())
        lines.append(f"{row:<20}{cells}")
    return "\n".join(lines)


def _cell(found: Interval) -> str:
    return f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f})"
