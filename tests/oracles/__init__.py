"""Oracles: second implementations that share no code with the product; see README.md."""
