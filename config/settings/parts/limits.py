"""How much one client may ask for. A tier (in the admin) says it of single users."""

from config.env import ENV

# Of one network that signs nothing, in the weights of exchange/api/routes.py; 0: no limit.
PUBLIC_WEIGHT_PER_SECOND = ENV.public_weight_per_second
# Of a user whose tier does not say; 0: no limit.
READ_WEIGHT_PER_SECOND = ENV.read_weight_per_second
