"""Orders, commands, trades and the engine's journal: shape and constraints only.

Only the package orders writes these tables: intake inserts (orders/intake), the worker's results
update (orders/recording/results.py). Orders and trades are partitioned by ranges of their
time-ordered ids, so no foreign key can point to them.
"""

from orders.models.commands import Command as Command
from orders.models.engine import EngineFault as EngineFault
from orders.models.engine import EngineImage as EngineImage
from orders.models.engine import EngineJournal as EngineJournal
from orders.models.engine import EnginePartition as EnginePartition
from orders.models.engine import SettlementCursor as SettlementCursor
from orders.models.markets import ScheduledState as ScheduledState
from orders.models.orders import ClientOrderId as ClientOrderId
from orders.models.orders import Order as Order
from orders.models.orders import OrderList as OrderList
from orders.models.trades import PreventedMatch as PreventedMatch
from orders.models.trades import Trade as Trade
