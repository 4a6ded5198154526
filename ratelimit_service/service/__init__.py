"""The use cases: deciding requests, looking after the rules' balances, and what each needs.

ports.py     what is needed of the outside, as protocols
limiter.py   may this request pass?
asked.py     a planned request, and what is counted of it
books.py     what rules have decided and which keys are hot, gathered from the requests
awaiting.py  a callback's answer as something to await
absence.py   the times during which the store decides nothing
operator.py  why, how much is left, and changes by hand
quotas.py    Envoys that limit by themselves, with blocks of tokens from here; pool.py: one bucket's
"""

from ratelimit_service.service.limiter import Limiter
from ratelimit_service.service.ports import Answer, BucketStore, Done, RuleSource

__all__ = ["Answer", "BucketStore", "Done", "Limiter", "RuleSource"]
