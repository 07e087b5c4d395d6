"""Messages that were sent as mails: stamps, signatures, disclaimers and quoted mails come off.

The signature mark is the line "-- " (RFC 3676, section 4.3); quoted lines start with ">".
"""

from __future__ import annotations

import re

from course_lib.cleaning.changes import StepResult, edit_message, with_messages
from course_lib.dialogue import Dialogue

SIGNATURE_MARK = re.compile(r"--\s*$")
_MONTH, _DAY, _GAP = r"[A-Z][a-z]{2,8}\.?", r"\d{1,2}(?:st|nd|rd|th)?", r"(?:\. |[-./ ])"
_DATE = (
    rf"\d{{1,4}}{_GAP}\d{{1,2}}{_GAP}\d{{2,4}}|{_DAY}{_GAP}(?:of )?{_MONTH},?{_GAP}\d{{2,4}}"
    rf"|{_MONTH} {_DAY},? \d{{4}}"
)
# A line that says when an older message was sent; it carries a time besides the date.
STAMP = re.compile(rf"(?=.*(?:{_DATE}))(?=.*\b\d{{1,2}}[:.h]\d{{2}}\b).{{0,120}}$")
HEADER = re.compile(r"[-=_*]{3,}.{0,80}|(?:From|Sent|To|Date|Subject|Von|Gesendet|An|Betreff): .*$")
SIGN_OFF_WORDS = 14


def without_mail_parts(text: str) -> tuple[int, int]:
    """(start, end) of what the writer says: no stamp before it, nothing quoted behind it."""
    lines = text.split("\n")
    first = 0
    while first < len(lines) and (not lines[first].strip() or _is_frame(lines[first])):
        first += 1
    last = first
    while last < len(lines) and not _ends_the_message(lines[last]):
        last += 1
    if last < len(lines):
        last = _before_sign_off(lines, first, last)
    start = sum(len(line) + 1 for line in lines[:first])
    said = "\n".join(lines[first:last]).rstrip()
    return (start, start + len(said)) if said else (0, len(text))


def _is_frame(line: str) -> bool:
    return bool(STAMP.match(line) or HEADER.match(line))


def _ends_the_message(line: str) -> bool:
    return bool(SIGNATURE_MARK.match(line)) or line.startswith(">") or _is_frame(line)


def _before_sign_off(lines: list[str], first: int, last: int) -> int:
    """Where a short farewell starts, set off by an empty line before the end; else the end."""
    end = last
    while end > first and not lines[end - 1].strip():
        end -= 1
    start = end
    while start > first and lines[start - 1].strip():
        start -= 1
    short = sum(len(line.split()) for line in lines[start:end]) <= SIGN_OFF_WORDS
    return start if short and start > first else last


def strip_mail(dialogue: Dialogue) -> StepResult:
    """Leaves of each message of several lines what its writer said; spans move along."""
    changed, changes = {}, []
    for number, message in enumerate(dialogue.messages):
        text = message.content
        if "\n" not in text:
            continue
        start, end = without_mail_parts(text)
        edits = [edit for edit in ((0, start, ""), (end, len(text), "")) if edit[0] < edit[1]]
        if edits:
            reason = "stamp, signature or quoted mail"
            changed[number], made = edit_message(dialogue, number, edits, "strip_mail", reason)
            changes += made
    return with_messages(dialogue, changed), changes
