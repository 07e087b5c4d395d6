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


def test_a_false_near_copy_is_held_against_near_copies_only(tmp_path: Path) -> None:
    path = ledger(tmp_path, entry(1, "copy", "drop", of="log-9"), entry(2, "near", "drop"))
    alike = ((1, 1.0), (2, 0.7), (3, 0.65))  # nobody planted the third
    rejected = [Rejected(f"log-{n}", "deduplicate", "x", "log-9", similarity=s) for n, s in alike]
    figures = score(path, CleaningReport(rejected=rejected))
    assert figures["copy"]["precision"] == 1.0 and figures["near"]["precision"] == 0.5


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


# What is asked of each group of kinds: recall, precision, exactness.
BARS = {
    "exact duplicates": (1.0, 1.0, 1.0), "near duplicates": (0.95, 0.98, 0.9),
    "leaks": (1.0, 0.95, 0.95), "personal data by its form": (0.98, 0.98, 0.98),
    "names": (0.85, 0.85, 0.85), "markup and characters": (0.99, 0.99, 0.99),
    "roles": (0.95, 0.95, 0.95), "garbage": (0.90, 0.95, 0.90), "turns": (0.95, 0.95, 0.95),
    "spans and lines": (1.0, 1.0, 1.0), "policy": (0.90, 0.90, 0.90),
    "unsafe": (0.90, 0.90, 0.90), "labels": (0.85, 0.0, 0.85), "left alone": (0.99, 0.0, 0.99),
}  # fmt: skip
GROUPS = {
    "exact duplicates": ("exact_duplicate", "spelling_duplicate"),
    "near duplicates": ("near_duplicate", "typo_duplicate", "reworded_duplicate"),
    "leaks": ("leak", "near_leak"),
    "personal data by its form": ("email", "phone", "card", "iban", "street_address"),
    "names": ("full_name",),
    "markup and characters": ("markup", "html_entity", "mojibake", "zero_width", "full_width"),
    "roles": ("swapped_roles",),
    "garbage": ("looping_reply", "cut_reply", "foreign_reply"),
    "turns": ("empty_turn", "split_turn", "open_end", "long_mail"),
    "spans and lines": ("broken_span", "broken_json", "missing_role", "wrong_encoding"),
    "policy": ("wrong_fact", "unconfirmed_action", "forgotten_slot"),
    "unsafe": ("abuse", "prompt_injection"),
    "labels": ("wrong_intent", "label_conflict"),
}


def by_group(path: Path, folder: Path) -> Path:
    """The ledger with the name of its group in place of each kind; the rest is left alone."""
    group_of = {kind: group for group, kinds in GROUPS.items() for kind in kinds}
    entries = read_ledger(path)
    assert {
        e["kind"] for e in entries if e["kind"] not in group_of and e["action"] != "keep"
    } == set()
    return ledger(folder, *(e | {"kind": group_of.get(e["kind"], "left alone")} for e in entries))


def below_the_bars(figures: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The groups that miss one of their bars."""
    names = ("recall", "precision", "exact")
    return {
        group: row
        for group, row in figures.items()
        if any(row[name] < bar for name, bar in zip(names, BARS[group], strict=True))
    }


def test_cleaning_the_shops_raw_logs_meets_the_bars(
    shop_report: CleaningReport, tmp_path: Path
) -> None:
    path = by_group(SHOP / "ledger.jsonl", tmp_path)
    figures = score(path, shop_report)
    assert set(figures) == set(BARS)
    assert not below_the_bars(figures), table(figures)
    assert harmed(path, shop_report) <= 0.005


def test_no_kind_is_left_untreated(shop_report: CleaningReport) -> None:
    figures = score(SHOP / "ledger.jsonl", shop_report)
    assert len(figures) > 45 and {k: row for k, row in figures.items() if row["recall"] < 0.8} == {}


def test_a_group_below_its_bar_is_named() -> None:
    good = {"recall": 1.0, "precision": 1.0, "exact": 1.0}
    assert below_the_bars({"leaks": good, "roles": good}) == {}
    for name in good:
        assert below_the_bars({"roles": good | {name: 0.94}}).keys() == {"roles"}


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
