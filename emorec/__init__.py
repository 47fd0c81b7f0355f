"""emorec: emotion recognition from words, face and voice."""

__version__ = "0.1.0"
