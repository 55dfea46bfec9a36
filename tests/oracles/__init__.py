"""Judges of the product that share no code with what they judge; README.md says who judges what."""
