"""Measured columns become tables: keys are added, parts are written."""
