"""Experiments: the engine's claims, measured by commands on scenes whose truth only the evaluation sees."""
