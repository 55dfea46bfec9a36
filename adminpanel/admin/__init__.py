"""Django finds the back office by importing this package; each topic registers its own."""

from adminpanel.admin import accounts, catalogue, records, schedules, security, symbols, users

__all__ = ["accounts", "catalogue", "records", "schedules", "security", "symbols", "users"]
