"""What `python -m course_lib <command>` runs."""
