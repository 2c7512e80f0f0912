"""Simulation and measurement of image noise, and phantoms with known ground truth."""
