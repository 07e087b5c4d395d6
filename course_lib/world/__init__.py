"""The offline shop: catalogue, hand-written language, dialogue writer, pretraining text."""
