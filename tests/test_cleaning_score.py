"""The scorer: figures on a hand-made report, and the shop's own raw logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from course_lib.cleaning import Change, CleaningConfig, CleaningReport, Rejected, clean
from course_lib.cleaning_score import harmed, read_ledger, score, table
from course_lib.commands.clean import clean_file
from course_lib.dialogue import Dialogue, DialogueError, Message, read_dialogues

SHOP = Path(__file__).resolve().parents[1] / "data" / "shop"


def entry(line: int, kind: str, action: str, **more: object) -> dict[str, object]:
    bare = {"raw_line": line, "id": f"log-{line}", "kind": kind, "action": action}
    return bare | {"of": None, "expect": None} | more


def ledger(folder: Path, *entries: dict[str, object]) -> Path:
    path = folder / "ledger.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in entries), encoding="utf-8")
    return path


def kept(*numbers: int) -> list[Dialogue]:
    return [Dialogue(f"log-{n}", [Message("assistant", f"text {n}")]) for n in numbers]


def change(number: int, step: str) -> Change:
    return Change(step, f"log-{number}", 0, "why", "before", "after")


def test_the_figures_of_a_small_report(tmp_path: Path) -> None:
    path = ledger(
        tmp_path,
        entry(1, "copy", "drop", of="log-9"),
        entry(2, "copy", "drop", of="log-9"),
        entry(3, "copy", "drop", of="log-9"),
        entry(4, "copy", "drop", of="log-9"),
        entry(5, "dirt", "repair", expect=["text 5"]),
        entry(6, "dirt", "repair", expect=["other"]),
        entry(7, "broken", "drop"),
        entry(8, "price", "keep"),
        entry(10, "price", "keep"),
    )
    report = CleaningReport(
        kept=kept(2, 5, 6, 8, 10),
        rejected=[
            Rejected("log-1", "deduplicate", "x", "log-9"),
            Rejected("log-3", "deduplicate", "x", "log-8"),
            Rejected("log-4", "deduplicate", "x", "log-9"),
            Rejected("log-9", "deduplicate", "a false alarm"),
            Rejected(None, "read", "x", line=7),
        ],
        changes=[change(5, "repair_text"), change(6, "repair_text"), change(10, "redact")],
    )
    figures = score(path, report)
    assert figures["copy"] == {"recall": 3 / 4, "precision": 3 / 4, "exact": 2 / 4}
    assert figures["dirt"] == {"recall": 1.0, "precision": 1.0, "exact": 0.5}
    assert figures["broken"] == {"recall": 1.0, "precision": 1.0, "exact": 1.0}
    assert figures["price"]["recall"] == 0.5
    assert "copy" in table(figures)


def test_a_report_of_another_file_is_refused(tmp_path: Path) -> None:
    path = ledger(tmp_path, entry(1, "copy", "drop"))
    with pytest.raises(DialogueError, match="raw line 1 of the ledger is nowhere"):
        score(path, CleaningReport())


@pytest.mark.parametrize("text", ["{", "[]", '{"raw_line": 1, "kind": "x", "action": "eat"}', "{}"])
def test_a_broken_ledger_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text(text + "\n")
    with pytest.raises(DialogueError, match="line 1"):
        read_ledger(tmp_path / "ledger.jsonl")


@pytest.fixture(scope="module")
def shop_report() -> CleaningReport:
    if not (SHOP / "raw.jsonl").is_file():
        pytest.skip("data/shop is not built; run python -m course_lib.world build")
    return clean_file(SHOP / "raw.jsonl", held_out=[*SHOP.glob("test_*.jsonl"), SHOP / "dev.jsonl"])


# What each group of kinds must reach: recall, precision, and exactness where it is a repair.
BARS = {
    (1.0, 1.0, 1.0): ("exact_duplicate", "spelling_duplicate"),
    (0.95, 0.98, 0.9): ("near_duplicate", "typo_duplicate", "reworded_duplicate"),
    (1.0, 0.95, 0.95): ("leak", "near_leak"),
    (0.98, 0.98, 0.98): ("email", "phone", "card", "iban", "street_address"),
    (0.85, 0.85, 0.85): ("full_name",),
    (0.99, 0.99, 0.99): ("markup", "html_entity", "mojibake", "zero_width", "full_width"),
    (0.95, 0.95, 0.95): ("swapped_roles", "split_turn"),
    (0.90, 0.95, 0.90): (
        "looping_reply", "cut_reply", "foreign_reply", "empty_turn", "open_end", "long_mail",
    ),
    (0.999, 0.999, 0.999): ("broken_span", "broken_json", "missing_role", "wrong_encoding"),
    (0.90, 0.90, 0.90): (
        "wrong_fact", "unconfirmed_action", "forgotten_slot", "abuse", "prompt_injection",
    ),
    (0.85, 0.0, 0.0): ("wrong_intent", "label_conflict"),  # flagged: a person looks at them
    (0.97, 0.0, 0.0): (  # to be left alone
        "accents", "ampersand", "angry_customer", "date", "emoji", "first_name", "foreign_word",
        "hotline", "innocent_words", "minimal_pair", "namelike_product", "order_number",
        "part_number", "price", "short_reply", "tracking_number",
    ),
}  # fmt: skip
# One line of a kind may fail by chance: another clean dialogue happens to be a near copy of it.
ONE_LINE = 1 / 40
WITH_CHANCE = ("markup", "html_entity", "mojibake", "zero_width", "full_width")


def below_the_bars(figures: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The kinds that miss their bar."""
    bars = {kind: bar for bar, kinds in BARS.items() for kind in kinds}
    return {
        kind: row
        for kind, row in figures.items()
        for slack in [ONE_LINE if kind in WITH_CHANCE else 0]
        if any(
            row[name] < bar - (name != "precision") * slack
            for name, bar in zip(("recall", "precision", "exact"), bars[kind], strict=True)
        )
    }


def test_cleaning_the_shops_raw_logs_meets_the_bars(shop_report: CleaningReport) -> None:
    figures = score(SHOP / "ledger.jsonl", shop_report)
    assert set(figures) == {kind for kinds in BARS.values() for kind in kinds}
    poor = below_the_bars(figures)
    assert not poor, table(poor)
    assert harmed(SHOP / "ledger.jsonl", shop_report) <= 0.005


def test_a_kind_below_its_bar_is_named() -> None:
    good = {"recall": 1.0, "precision": 1.0, "exact": 1.0}
    assert below_the_bars({"leak": good, "card": good}) == {}
    for name in good:
        assert below_the_bars({"card": good | {name: 0.97}}).keys() == {"card"}


def test_a_wrong_label_counts_as_found_only_with_a_flag(tmp_path: Path) -> None:
    path = ledger(tmp_path, entry(1, "label", "flag"))
    report = CleaningReport(kept=kept(1), read=1)
    assert score(path, report)["label"]["recall"] == 0.0
    report.changes.append(Change("annotate", "log-1", 0, "another intent", None, None))
    assert score(path, report)["label"]["recall"] == 1.0


def test_every_line_of_the_raw_logs_is_accounted_for(shop_report: CleaningReport) -> None:
    lines = (SHOP / "raw.jsonl").read_bytes().splitlines()
    assert shop_report.read == len(lines)
    assert len(shop_report.kept) + len(shop_report.rejected) == len(lines)


@pytest.mark.parametrize(
    ("left_out", "kind"),
    [
        ("repair_text", "mojibake"),
        ("redact_personal_data", "phone"),
        ("drop_loops", "looping_reply"),
        ("deduplicate", "near_duplicate"),
        ("find_swapped_roles", "swapped_roles"),
        ("find_cut_replies", "cut_reply"),
    ],
)
def test_a_step_left_out_shows_in_its_kind(
    left_out: str, kind: str, shop_report: CleaningReport, tmp_path: Path
) -> None:
    named = [one for one in read_ledger(SHOP / "ledger.jsonl") if one["kind"] == kind]
    path = ledger(tmp_path, *named)
    steps = tuple(step for step in CleaningConfig().steps if step != left_out)
    wanted = {one[key] for one in named for key in ("id", "of")}
    raw = [d for d in read_dialogues(SHOP / "raw.jsonl", []) if d.id in wanted]
    assert score(path, shop_report)[kind]["recall"] > 0.9
    assert score(path, clean(raw, CleaningConfig(steps=steps)))[kind]["recall"] < 0.5


def test_cleaning_never_reads_the_ledger() -> None:
    package = SHOP.parents[1] / "course_lib"
    files = [*(package / "cleaning").glob("*.py"), package / "commands" / "clean.py"]
    assert len(files) > 5
    for file in files:
        assert "ledger" not in file.read_text(encoding="utf-8")
