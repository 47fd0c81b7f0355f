"""Corpora: where their files lie, what they hold, their splits and their traps."""
