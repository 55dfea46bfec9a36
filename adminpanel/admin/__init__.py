"""Admin classes of the back office: Django imports this package, each module registers its own."""

from adminpanel.admin import accounts, catalogue, records, schedules, security, symbols, users

__all__ = ["accounts", "catalogue", "records", "schedules", "security", "symbols", "users"]
