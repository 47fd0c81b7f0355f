"""Emotions in one's own recordings, from any trained models."""
