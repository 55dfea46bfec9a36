"""The one way in with a password, whichever page asks (docs/limits.md)."""
