"""Searches whose returns come from a person: prompt, log of answers, and the questions of a search."""
