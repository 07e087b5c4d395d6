"""Corpus chrF with its signature."""

from typing import Any

from course_lib.metrics import as_module, overlap


class Chrf(as_module.Measure):
    text = __doc__
    inputs = as_module.WITH_REFERENCES

    def score(self, replies: Any, references: Any, **settings: Any) -> Any:
        return overlap.chrf(replies, references, **settings)
