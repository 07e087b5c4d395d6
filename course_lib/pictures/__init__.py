"""Pictures of one stage each; nothing in the pipeline imports them."""
