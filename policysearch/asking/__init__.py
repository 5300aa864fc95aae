"""Asking a person in a terminal."""
