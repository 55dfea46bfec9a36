"""Forms of the back office: numbers in one notation, refusals in words at their field."""

import re
from html import unescape
from typing import Any

import pytest
from django.db import IntegrityError, connection, models
from django.db.models import CheckConstraint, Model, UniqueConstraint
from django.test import Client
from django.urls import reverse

from adminpanel.admin.forms import SENTENCES, PlainAdmin, PlainForm, sentence_of
from exchange.models import Asset, FeeSchedule, Symbol, User
from exchange.selectors import catalogue_forget
from tests.factories.back_office import form_values, registered
from tests.factories.models import (
    BrandFactory,
    FeeScheduleFactory,
    SymbolFactory,
    TierFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db

OURS = ("exchange", "orders", "risk", "wallets")
EDITABLE = [
    model
    for model, one in registered().items()
    if model._meta.app_label in OURS and isinstance(one, PlainAdmin)
]
AMBIGUOUS = ("1,000", "1.000,5", "1 000", "1'000", "1e3", "-1", "+1", "\uff11", "\u0661", "1_0")


@pytest.fixture
def root(client: Client, settings: Any) -> Client:
    settings.PUBLIC_WEIGHT_PER_SECOND = 0  # a walk that is refused for its pace shows nothing
    catalogue_forget()
    client.force_login(UserFactory.create(superuser=True, username="root", password="x"))
    return client


def name_of(model: type[Model]) -> str:
    return f"{model._meta.app_label}.{model.__name__}"


def test_every_form_that_staff_may_fill_in_is_a_plain_one() -> None:
    """One that stands on Django's own would tell constraints by their names."""
    for model, one in registered().items():
        if model._meta.app_label not in OURS or not model._meta.constraints:
            continue
        if one.has_add_permission.__qualname__.startswith("ReadOnlyAdmin"):
            continue
        assert isinstance(one, PlainAdmin), name_of(model)
        assert issubclass(one.form, PlainForm), name_of(model)


def test_every_constraint_of_those_forms_has_its_sentence_and_its_field() -> None:
    assert {name_of(model) for model in EDITABLE} >= {
        "exchange.Symbol", "exchange.Tier", "exchange.FeeSchedule", "exchange.Brand",
        "exchange.Asset", "risk.OrderLimit", "orders.ScheduledState",
    }  # fmt: skip
    for model in EDITABLE:
        for constraint in model._meta.constraints:
            assert isinstance(constraint, CheckConstraint | UniqueConstraint)
            field, sentence = SENTENCES[constraint.name]
            assert field in {one.name for one in model._meta.get_fields()}, constraint.name
            assert re.match(r"[A-Z].* .*\.$", sentence), constraint.name


def numbers(model: type[Model]) -> list[str]:
    kinds = (models.DecimalField, models.IntegerField)
    fields = [one for one in model._meta.fields if isinstance(one, kinds)]
    return [one.name for one in fields if one.editable and not one.primary_key and not one.choices]


@pytest.mark.parametrize("model", EDITABLE, ids=name_of)
def test_every_number_is_read_where_it_can_mean_one_thing_only(
    root: Client, model: type[Model]
) -> None:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
    for typed in AMBIGUOUS if numbers(model) else ():
        form = root.post(address, dict.fromkeys(numbers(model), typed)).context["adminform"].form
        for name in set(numbers(model)) & set(form.fields):
            assert name in form.errors, (name, typed)
            assert name == "partition_id" or "plain digits" in str(form.errors[name]), name
    assert model.objects.count() == (1 if model is User else 0)  # type: ignore[attr-defined]


def error_at(client: Client, model: type[Model], field: str, **changes: Any) -> str:
    """Change the one row there is; return what the form says at a field."""
    row = model.objects.get()  # type: ignore[attr-defined]
    address = reverse(
        f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.pk]
    )
    response = client.post(address, {**form_values(client, address), **changes})
    assert response.status_code == 200, "it was saved"
    assert "onstraint" not in re.sub(r"<[^>]*>", "", response.content.decode())
    return unescape(str(response.context["adminform"].form.errors[field]))


def test_a_broken_constraint_is_told_at_its_field(root: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    FeeScheduleFactory.create(symbol=symbol)
    highest = error_at(root, Symbol, "price_max", price_min="5", price_max="4")
    assert "The lowest price must be above 0, and the highest not below it." in highest
    assert "smallest quantity" in error_at(
        root, Symbol, "quantity_max", quantity_min="5", quantity_max="4"
    )
    fee = error_at(root, FeeSchedule, "maker_ppm", maker_ppm="9", taker_ppm="8")
    assert "The maker fee must not be above the taker fee" in fee


def test_a_second_default_and_a_second_row_are_refused_in_words(root: Client) -> None:
    TierFactory.create(name="first", is_default=True)
    BrandFactory.create(slug="first", name="First", is_default=True)
    FeeScheduleFactory.create()
    for name, values, field, words in (
        ("tier", {"name": "second", "orders_per_second": "1"}, "is_default", "Another tier"),
        ("brand", {"name": "Second", "slug": "second"}, "is_default", "Another brand"),
        ("feeschedule", {"maker_ppm": "1", "taker_ppm": "2"}, "__all__", "already exists"),
    ):
        address = reverse(f"admin:exchange_{name}_add")
        typed = {**form_values(root, address), **values, "is_default": "on"}
        response = root.post(address, typed)
        assert words in unescape(str(response.context["adminform"].form.errors[field])), name


def test_what_only_a_trigger_sees_is_told_in_words() -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    with pytest.raises(IntegrityError) as refused, connection.cursor() as cursor:
        cursor.execute("UPDATE exchange_asset SET scale = 3 WHERE id = %s", (symbol.base_id,))
    assert sentence_of(refused.value) == SENTENCES["asset_scale_fixed"][1]


def test_numbers_are_shown_without_the_zeros_of_their_column(root: Client) -> None:
    symbol = SymbolFactory.create(code="BTC-USDT")
    address = reverse("admin:exchange_symbol_change", args=[symbol.pk])
    page = root.get(address).content.decode()
    assert re.search(r'name="tick" value="0.01"', page)
    assert "Now 5 %; 10000 is 1 %." in page
    assert Asset.objects.count() == 2
