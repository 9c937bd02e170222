"""Drawings of datasets; nothing is computed here beyond medians and quartiles."""
