"""The one exception for a refusal at service level. A bug is an assertion, never this."""

from exchange.domain.codes import DESCRIPTIONS, Code


class DomainError(Exception):
    """A refusal: a stable code, the field it is about (if any) and the values its text names.

    `exchange.api.errors` turns it into an HTTP answer, once, for every view.
    """

    def __init__(self, code: Code, *, field: str | None = None, **params: str | int) -> None:
        super().__init__(code.value)
        self.code = code
        self.field = field
        self.params = params

    @property
    def http_status(self) -> int:
        return DESCRIPTIONS[self.code][0]

    @property
    def detail(self) -> str:
        """The sentence for a person, with the values filled in."""
        values = {"field": self.field or "", **self.params}
        return DESCRIPTIONS[self.code][1].format_map(_Blank(values))


class _Blank(dict[str, object]):
    """A missing value reads as its own name: an error text must never raise an error."""

    def __missing__(self, key: str) -> str:
        return f"({key})"
