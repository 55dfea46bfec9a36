"""Forms of the back office as a browser sends them."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db.models import Model
from django.test import Client


def form_values(client: Client, address: str) -> dict[str, Any]:
    """What the form at an address holds: boxes that are not ticked are left out."""
    form = client.get(address).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in values.items() if not (value is None or value is False)}
    return {name: "on" if value is True else value for name, value in sent.items()}


def registered() -> "dict[type[Model], ModelAdmin[Any]]":
    """The models that the back office shows, each with its admin."""
    shown = filter(admin.site.is_registered, apps.get_models())
    return {model: admin.site.get_model_admin(model) for model in shown}
