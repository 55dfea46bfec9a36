"""Reference data, time and API keys."""

import time
from typing import Annotated, Any, Final

import msgspec
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from msgspec import Meta, Struct
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.access.ends import key_revoke
from exchange.api.answers import Answer, json_answer
from exchange.api.base import ApiView, plain_request
from exchange.api.bodies import Body
from exchange.api.keys import LABEL_MAX, api_key_add
from exchange.api.requests import body_decode
from exchange.api.resources import Resource, in_thread
from exchange.api.schema import decimal, listed, query, responses
from exchange.domain.codes import Code
from exchange.domain.enums import Scope, SymbolState
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.domain.units import plain
from exchange.models import ApiKey
from exchange.selectors import catalogue, symbol_known


class SymbolSerializer(serializers.Serializer[Any]):
    """A symbol and what it allows."""

    symbol = serializers.CharField()
    base = serializers.CharField()
    quote = serializers.CharField()
    base_scale = serializers.IntegerField()
    quote_scale = serializers.IntegerField()
    state = serializers.ChoiceField([state.value for state in SymbolState])
    is_listed = serializers.BooleanField(help_text="Whether new orders may come in.")
    tick = decimal()
    lot = decimal()
    price_min = decimal()
    price_max = decimal()
    quantity_min = decimal()
    quantity_max = decimal()
    notional_min = decimal()
    band_ppm = serializers.IntegerField(help_text="Around the reference, in millionths; 0: off.")
    band_both_sides = serializers.BooleanField(
        help_text="Whether it refuses buys below it and sells above it, too."
    )
    band_move_ppm = serializers.IntegerField(help_text="The reference moves by at least this.")
    band_move_after_s = serializers.IntegerField(help_text="And stands at least so many seconds.")
    interruption_limit_s = serializers.IntegerField(
        help_text="Seconds at the band's edge before trading pauses; 0: it never does."
    )
    interruption_pause_s = serializers.IntegerField(help_text="Seconds that the pause lasts.")
    interruption_auction_s = serializers.IntegerField(
        help_text="Seconds of the auction that ends it."
    )
    slippage_ppm = serializers.IntegerField(help_text="Bound of market orders, in millionths.")
    open_orders_max = serializers.IntegerField(help_text="A user's open orders here; 0: no cap.")
    stop_orders_max = serializers.IntegerField(help_text="Of these, waiting ones; 0: no cap.")
    maker_fee_ppm = serializers.IntegerField(help_text="Of the default tier, in millionths.")
    taker_fee_ppm = serializers.IntegerField(help_text="Of the default tier, in millionths.")


def symbol_json(rules: SymbolRules) -> dict[str, Any]:
    """Return a symbol as the API shows it; decimals are plain strings."""
    units = rules.units
    base, _, quote = units.code.partition("-")
    fees = catalogue().fee_rates(tier_id=None, symbol_id=units.symbol_id)
    return {
        "symbol": units.code,
        "base": base,
        "quote": quote,
        "base_scale": units.base_scale,
        "quote_scale": units.quote_scale,
        "state": rules.state.value,
        "is_listed": rules.is_listed,
        "tick": plain(units.tick),
        "lot": plain(units.lot),
        "price_min": plain(units.price(rules.price_ticks_min)),
        "price_max": plain(units.price(rules.price_ticks_max)),
        "quantity_min": plain(units.quantity(rules.quantity_lots_min)),
        "quantity_max": plain(units.quantity(rules.quantity_lots_max)),
        "notional_min": plain(units.quote_decimal(rules.notional_atoms_min)),
        "band_ppm": rules.band_ppm,
        "band_both_sides": rules.band_both_sides,
        "band_move_ppm": rules.band_move_ppm,
        "band_move_after_s": rules.band_move_after_s,
        "interruption_limit_s": rules.interruption_limit_s,
        "interruption_pause_s": rules.interruption_pause_s,
        "interruption_auction_s": rules.interruption_auction_s,
        "slippage_ppm": rules.slippage_ppm,
        "open_orders_max": rules.open_orders_max,
        "stop_orders_max": rules.stop_orders_max,
        "maker_fee_ppm": fees.maker_ppm,
        "taker_fee_ppm": fees.taker_ppm,
    }


class SymbolsView(ApiView):
    @extend_schema(
        operation_id="symbols_list",
        parameters=[query("symbol", "This one alone, listed or not.")],
        responses=responses(
            body=listed("Symbols", SymbolSerializer(many=True), paged=False), refusals=(400, 404)
        ),
        auth=[],
    )
    def get(self, request: Request) -> Response:
        """All listed symbols and what they allow; or the one that is named, listed or not."""
        django_request = plain_request(request)
        code = django_request.GET.get("symbol")
        shown = catalogue().symbols.values() if code is None else [symbol_known(code)]
        return Response({"items": [symbol_json(rules) for rules in shown]})


class TimeSerializer(serializers.Serializer[Any]):
    """The server's clock."""

    time_ms = serializers.IntegerField(help_text="Milliseconds since 1970, UTC.")


class TimeDocumentation(ApiView):
    @extend_schema(operation_id="time_get", responses=responses(body=TimeSerializer()), auth=[])
    def get(self, request: Request) -> Response:
        """The server's clock, which signed requests are measured by."""
        raise NotImplementedError


async def server_time(request: HttpRequest) -> Answer:
    """Answer GET /time."""
    return json_answer({"time_ms": time.time_ns() // 1_000_000})


TIME: Final = Resource("time", "api-time", {"GET": server_time}, TimeDocumentation)


class KeySerializer(serializers.Serializer[Any]):
    """An API key. Its secret is never shown again."""

    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field's name here
    scopes = serializers.ListField(child=serializers.ChoiceField([s.value for s in Scope]))
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class KeyCreatedSerializer(KeySerializer):
    """The new key, with the secret: shown this once."""

    secret = serializers.CharField()


class KeyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A new key: `read` always, `trade` if asked for."""

    # The decoder takes any length: the view refuses a long label with a stable code.
    label: Annotated[str, Meta(extra_json_schema={"maxLength": LABEL_MAX})] = ""
    scopes: Annotated[tuple[Scope, ...], Meta(extra_json_schema={"maxItems": len(Scope)})] = (
        Scope.READ,
    )


_key_decoder: Final = msgspec.json.Decoder(KeyRequest)


def key_json(key: ApiKey) -> dict[str, Any]:
    """Return a key as the API shows it: without its secret."""
    scopes = {Scope.READ: key.can_read, Scope.TRADE: key.can_trade}
    return {
        "key": key.key_id,
        "label": key.label,
        "scopes": [scope.value for scope, has in scopes.items() if has],
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


class KeysView(ApiView):
    """Keys of a user with a page's session: a key can neither create nor list keys."""

    scope = Scope.TRADE
    session_only = True

    @extend_schema(
        operation_id="keys_list",
        responses=responses(
            body=listed("Keys", KeySerializer(many=True), paged=False), refusals=(401, 403)
        ),
    )
    def get(self, request: Request) -> Response:
        """The user's API keys, newest first."""
        keys = ApiKey.objects.filter(user_id=self.principal.user_id).order_by("-id")
        return Response({"items": [key_json(key) for key in keys]})

    @extend_schema(
        operation_id="keys_create",
        request=Body("KeyCreate", KeyRequest),
        responses=responses(ok=201, body=KeyCreatedSerializer(), refusals=(400, 401, 403, 422)),
    )
    def post(self, request: Request) -> Response:
        """Make an API key; the answer holds its secret, this once."""
        if self.principal.is_suspended:
            raise DomainError(Code.ACCOUNT_SUSPENDED)
        wanted = body_decode(plain_request(request), _key_decoder)
        if len(wanted.label) > LABEL_MAX or not wanted.label.isprintable():
            rule = f"at most {LABEL_MAX} printable characters"
            raise DomainError(Code.REQUEST_FIELD_INVALID, field="label", rule=rule)
        key, secret = api_key_add(
            user_id=self.principal.user_id,
            label=wanted.label,
            can_trade=Scope.TRADE in wanted.scopes,
        )
        return Response(
            {**key_json(key), "secret": secret}, status=201, headers={"Cache-Control": "no-store"}
        )


class KeyView(ApiView):
    scope = Scope.TRADE
    session_only = True

    @extend_schema(
        operation_id="keys_revoke",
        request=None,
        responses=responses(ok=204, body=None, refusals=(401, 403, 404)),
    )
    def delete(self, request: Request, key: str) -> Response:
        """Revoke an API key; programs that use it stop working within two seconds."""
        user_id = self.principal.user_id
        key_revoke(user_id=user_id, key_id=key, actor_id=user_id)
        return Response(status=204)


async def _unknown_address(request: HttpRequest) -> Answer:
    """Refuse an unknown address with request.not_found."""
    raise DomainError(Code.REQUEST_NOT_FOUND)


unknown_address: Final = in_thread(lambda method: _unknown_address)
