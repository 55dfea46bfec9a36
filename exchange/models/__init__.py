"""Tables of users, symbols, fees, brands, API keys and security events; no workflow."""

from exchange.models.brands import COLOUR as COLOUR
from exchange.models.brands import Brand as Brand
from exchange.models.fields import money_field as money_field
from exchange.models.fields import word_check as word_check
from exchange.models.symbols import ASSET_CODE as ASSET_CODE
from exchange.models.symbols import SYMBOL_CODE as SYMBOL_CODE
from exchange.models.symbols import Asset as Asset
from exchange.models.symbols import FeeSchedule as FeeSchedule
from exchange.models.symbols import Symbol as Symbol
from exchange.models.users import AccountGroup as AccountGroup
from exchange.models.users import ApiKey as ApiKey
from exchange.models.users import PrincipalChange as PrincipalChange
from exchange.models.users import SecurityEvent as SecurityEvent
from exchange.models.users import Tier as Tier
from exchange.models.users import User as User
