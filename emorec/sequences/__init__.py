"""Computational sequences (.csd) and their alignment."""
