"""Widgets for the notebooks; no stage of the pipeline imports this package."""

from course_lib.widgets.chat import Chat

__all__ = ["Chat"]
