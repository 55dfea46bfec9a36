"""The engine's rules in the most obvious form, by those who write the engine."""
