"""The experiment table: each safeguard bites, also for a killed process and for two writers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from course_lib.experiments import (
    Code,
    Experiment,
    ExperimentError,
    ExperimentLog,
    changed,
    code_state,
    compare,
    fingerprint,
    outcome,
    weights_hash,
)
from tests.tiny import ROOT, tiny_gpt2, toy_dialogues

QUESTIONS = [f"question {n}" for n in range(40)]
GROUPS = [f"d{n // 2}" for n in range(40)]
CODE = Code("0123456789abcdef")


def run(name="baseline", right=20, config=None, questions=QUESTIONS, **more) -> Experiment:
    values = [float(n < right) for n in range(len(questions))]
    found = {"facts": outcome(values, GROUPS[: len(questions)], questions)}
    settings = {"steps": 100} if config is None else config
    return Experiment(name, settings, "3:abc", "base", 12.3, found, code=CODE, **more)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "table.jsonl"


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# ---- lines are added, never changed


def test_a_run_comes_back_as_it_was_written(path):
    added = ExperimentLog(path).add(run(note="Zoë's first"))
    again = ExperimentLog(path)
    assert list(again) == [added] and again.problems == []
    assert (added.number, added.note) == (1, "Zoë's first")
    assert added.started.endswith("+00:00") and "torch" in added.versions


def test_a_second_run_of_a_name_gets_its_own_line(path):
    log = ExperimentLog(path)
    log.add(run(right=20))
    first = path.read_bytes()
    log.add(run(right=30))
    assert path.read_bytes().startswith(first)
    assert [(r.number, r.figure("facts").value) for r in log] == [(1, 0.5), (2, 0.75)]
    assert log.named("baseline").number == 2


def test_half_a_line_at_the_end_is_named_and_kept(path):
    ExperimentLog(path).add(run())
    half = '{"name": "Zoë'.encode()[:-1]
    with path.open("ab") as file:
        file.write(half)
    log = ExperimentLog(path)
    assert len(log) == 1
    assert log.problems == ["table.jsonl, line 2: no whole run, left out (a killed process?)"]
    assert "1 problems" in repr(log)
    log.add(run("second"))
    assert half + b"\n" in path.read_bytes()  # ended, not deleted
    again = ExperimentLog(path)
    assert [(r.name, r.number) for r in again] == [("baseline", 1), ("second", 2)]
    assert len(again.problems) == 1  # and the run after it is trusted


@pytest.mark.parametrize(
    "line", ["[]", "null", '"text"', "{}", '{"number": 1}', "not json", "\ufffd", "{" * 9000]
)
def test_strange_lines_are_left_out_with_their_number(path, line):
    log = ExperimentLog(path)
    log.add(run())
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    log.add(run())
    assert [r.number for r in log] == [1, 2]
    assert [p.split(":")[0] for p in log.problems] == ["table.jsonl, line 2"]


def test_a_later_edit_shows_in_every_line_below_it(path):
    log = ExperimentLog(path)
    for right in (20, 22, 24):
        log.add(run(right=right))
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"seconds": 12.3', '"seconds": 11.3', 1), encoding="utf-8")
    log.reload()
    assert [p.split(": ")[0] for p in log.problems] == [f"table.jsonl, line {n}" for n in (2, 3)]
    assert "changed later" in log.problems[0]


def test_a_deleted_line_shows(path):
    log = ExperimentLog(path)
    for _ in range(3):
        log.add(run())
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(kept[0] + kept[2])
    log.reload()
    assert [p.split(": ")[0] for p in log.problems] == ["table.jsonl, line 2"]


def test_the_line_is_on_the_disk_when_add_returns(path, monkeypatch):
    log, synced, fsync = ExperimentLog(path), [], os.fsync

    def watch(descriptor):
        fsync(descriptor)
        synced.append(len(lines(path)))

    monkeypatch.setattr(os, "fsync", watch)
    for number in (1, 2):
        log.add(run())
        assert synced[-1] == number


def test_a_full_disk_leaves_the_file_as_it_was(path, monkeypatch):
    log = ExperimentLog(path)
    log.add(run())
    before, write = path.read_bytes(), os.write

    def full(descriptor, data):
        write(descriptor, data[:50])
        raise OSError("no room")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="no room"):
        log.add(run())
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert log.add(run()).number == 2


def test_what_json_cannot_hold_is_refused_before_anything_is_written(path):
    log = ExperimentLog(path)
    for value in (object(), float("nan")):
        with pytest.raises(ExperimentError, match="cannot be written as JSON"):
            log.add(run(config={"odd": value}))
    assert path.read_bytes() == b""


KILLED = """
import os, signal, sys
from tests import test_experiments as t
log = t.ExperimentLog(sys.argv[1])
log.add(t.run("whole"))
write = os.write
def half(descriptor, data):
    write(descriptor, data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
os.write = half
log.add(t.run("half"))
"""


def test_a_process_killed_in_mid_write_loses_only_its_own_run(path):
    ended = subprocess.run(child(KILLED, path), **CHILD)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    log = ExperimentLog(path)  # the lock is free again, too
    assert [r.name for r in log] == ["whole"] and len(log.problems) == 1
    assert log.add(run("after")).number == 2


WRITER = """
import sys
from tests import test_experiments as t
log = t.ExperimentLog(sys.argv[1])
for n in range(8):
    log.add(t.run(f"{sys.argv[2]}-{n}"))
"""
CHILD = {"cwd": ROOT, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "capture_output": True}


def child(source, path, *arguments) -> list[str]:
    return [sys.executable, "-c", source, str(path), *arguments]


def test_two_processes_write_into_one_file(path):
    pytest.importorskip("fcntl")
    path.parent.mkdir()
    workers = [
        subprocess.Popen(child(WRITER, path, name), cwd=ROOT, env=CHILD["env"]) for name in "ab"
    ]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    log = ExperimentLog(path)
    assert log.problems == []
    assert [r.number for r in log] == list(range(1, 17))
    assert sorted(r.name for r in log) == sorted(f"{w}-{n}" for w in "ab" for n in range(8))


WAITS = """
import sys
from tests import test_experiments as t
log = t.ExperimentLog(sys.argv[1])
print("ready", flush=True)
log.add(t.run("second"))
"""


def test_a_writer_waits_until_the_other_is_done(path):
    fcntl = pytest.importorskip("fcntl")
    ExperimentLog(path).add(run())
    before = path.read_bytes()
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)  # the child may read, and may not write
        worker = subprocess.Popen(
            child(WAITS, path), cwd=ROOT, env=CHILD["env"], stdout=subprocess.PIPE
        )
        assert worker.stdout is not None and worker.stdout.readline() == b"ready\n"
        time.sleep(0.5)
        assert worker.poll() is None and path.read_bytes() == before
    assert worker.wait(60) == 0
    assert [r.name for r in ExperimentLog(path)] == ["baseline", "second"]


# ---- what a run was made from


def test_a_fingerprint_counts_and_changes_with_content_and_order():
    dialogues = toy_dialogues()
    one = fingerprint(dialogues)
    assert one.startswith("3:") and one == fingerprint(toy_dialogues())
    assert one != fingerprint(dialogues[::-1])
    dialogues[0].messages[0].content += "!"
    assert one != fingerprint(dialogues)


def test_a_fingerprint_does_not_hang_on_the_order_of_a_set():
    source = (
        "from course_lib.experiments import fingerprint\n"
        "print(fingerprint([frozenset('abcdefgh')]))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", source],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_one_changed_weight_changes_the_hash():
    torch = pytest.importorskip("torch")
    one, other = tiny_gpt2(), tiny_gpt2()
    assert weights_hash(one) == weights_hash(other)
    with torch.no_grad():
        other.transformer.ln_f.bias[0] += 1e-6
    assert weights_hash(one) != weights_hash(other)


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)


def test_the_state_of_the_code_tells_every_uncommitted_change(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("1\n", encoding="utf-8")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-q", "-m", "one")
    states = [code_state(tmp_path)]
    assert not states[0].dirty and len(states[0].commit) == 40
    for name, text in (("a.py", "2\n"), ("a.py", "3\n"), ("new.py", "1\n"), ("new.py", "2\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
        states.append(code_state(tmp_path))
    assert len({state.changes for state in states}) == 5
    assert all(state.dirty for state in states[1:])
    assert "+" in str(states[1]) and "+" not in str(states[0])


def test_code_outside_a_repository_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_state(tmp_path) == Code("none")


# ---- comparing


def test_a_change_is_told_with_its_paired_difference(path):
    log = ExperimentLog(path)
    log.add(run(right=20))
    log.add(run("longer", 32, {"steps": 200, "seed": 1}))
    found = log.compare("longer", "baseline", "facts")
    assert found.difference.value == pytest.approx(0.3)
    assert (found.better, found.worse, found.verdict) == (12, 0, "helped")
    assert found.changed == {"steps": (100, 200), "seed": (None, 1)}
    assert found.p < 0.05 and "helped" in str(found)
    back = log.compare("baseline", "longer", "facts")
    assert back.verdict == "hurt" and back.difference.value == pytest.approx(-0.3)


def test_no_difference_is_noise():
    assert compare(run(right=20), run(right=20), "facts").verdict == "noise"
    assert compare(run(right=21), run(right=20), "facts").verdict == "noise"


def test_other_questions_are_not_compared():
    with pytest.raises(ExperimentError, match="different questions"):
        compare(run(), run(questions=QUESTIONS[:39]), "facts")
    with pytest.raises(ExperimentError, match="different questions"):
        compare(run(), run(questions=["another", *QUESTIONS[1:]]), "facts")


def test_what_was_not_measured_or_run_is_said(path):
    with pytest.raises(ExperimentError, match="measured is facts, not 'loss'"):
        run().figure("loss")
    log = ExperimentLog(path)
    with pytest.raises(ExperimentError, match="no runs yet"):
        log.named("baseline")
    log.add(run())
    with pytest.raises(ExperimentError, match="no run 'other': baseline"):
        log.named("other")


@pytest.mark.parametrize(("values", "groups"), [([], []), ([1.0], ["a", "b"]), ([1.0, 0.0], ["a"])])
def test_an_outcome_needs_one_of_each(values, groups):
    with pytest.raises(ExperimentError, match="as many of each"):
        outcome(values, groups, values)


def test_changed_names_what_is_missing_on_either_side():
    assert changed({"a": 1, "b": 2}, {"a": 1, "c": 3}) == {"b": (2, None), "c": (None, 3)}


def test_the_table_says_what_was_changed_against_the_first_run(path):
    log = ExperimentLog(path)
    log.add(run())
    log.add(run("longer", config={"steps": 200}))
    columns, rows = log.rows(["facts", "loss"])
    assert columns[-2:] == ["facts", "loss"]
    assert [row[2] for row in rows] == ["nothing", "steps 200"]
    assert rows[0][4] == "01234567" and rows[0][-1] == ""
