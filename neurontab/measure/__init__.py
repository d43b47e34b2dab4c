"""Measurements in torch: models, tokens and sufficient statistics, without any opinion."""
