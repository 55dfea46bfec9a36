"""Forms of the back office as a browser sends them."""

from typing import Any

from django.test import Client


def form_values(client: Client, address: str) -> dict[str, Any]:
    """What the form at an address holds: boxes that are not ticked are left out."""
    form = client.get(address).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in values.items() if not (value is None or value is False)}
    return {name: "on" if value is True else value for name, value in sent.items()}
