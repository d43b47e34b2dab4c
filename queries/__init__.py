"""Derived tables: every definition, threshold and label, one Polars query a file."""
