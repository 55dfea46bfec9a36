"""Default rate limits of one client. A tier (in the back office) sets others for its users."""

from config.env import ENV

# Of one network's unsigned requests, in the weights of exchange/api/routes.py; 0: no limit.
PUBLIC_WEIGHT_PER_SECOND = ENV.public_weight_per_second
# Of a user whose tier sets no limit of its own; 0: no limit.
READ_WEIGHT_PER_SECOND = ENV.read_weight_per_second
