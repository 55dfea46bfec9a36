"""The exception of every refusal by a service. A bug fails an assertion instead."""

from exchange.domain.codes import DESCRIPTIONS, Code


class DomainError(Exception):
    """A refusal: a stable code, the field at fault (if any), and the values that its text names.

    `exchange.api.errors` turns it into an HTTP answer for every view.
    """

    def __init__(self, code: Code, *, field: str | None = None, **params: str | int) -> None:
        super().__init__(code.value)
        self.code = code
        self.field = field
        self.params = params

    @property
    def http_status(self) -> int:
        """The HTTP status of the refusal."""
        return DESCRIPTIONS[self.code][0]

    @property
    def detail(self) -> str:
        """The text for a person, with `params` filled in."""
        values = {"field": self.field or "", **self.params}
        return DESCRIPTIONS[self.code][1].format_map(_Blank(values))


class _Blank(dict[str, object]):
    """Values by name; a missing value shows its name, as an error's text must not fail."""

    def __missing__(self, key: str) -> str:
        return f"({key})"
