"""Records as JSONL: what was written is read, a half line is left out, a bad one named."""

from __future__ import annotations

import pytest

from course_lib.history import History, append_record, read_records, start_log

RECORDS = [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.0, "eval_loss": 2.25}]


def test_the_log_reads_back(tmp_path):
    path = tmp_path / "deep" / "log.jsonl"
    start_log(path, RECORDS[:1])
    append_record(path, RECORDS[1])
    assert read_records(path) == RECORDS


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "log.jsonl"
    start_log(path, RECORDS)
    whole = path.read_text()
    for end in range(len(whole) - 20, len(whole)):
        path.write_text(whole[:end])
        assert read_records(path) == RECORDS[:1]


def test_another_bad_line_is_named(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\nloss 3\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl, line 2: no record"):
        read_records(path)


def test_a_new_run_does_not_append_to_the_old_log(tmp_path):
    path = tmp_path / "log.jsonl"
    start_log(path, RECORDS)
    start_log(path, [])
    assert read_records(path) == []


def test_values_are_those_of_records_that_have_them():
    assert History(RECORDS).values("eval_loss") == [(2, 2.25)]
