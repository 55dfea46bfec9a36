from typing import Final

from wallets.api import views

RESOURCES: Final = (views.BALANCES,)
urlpatterns = [resource.pattern() for resource in RESOURCES]
