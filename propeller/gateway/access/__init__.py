"""Who asks, what they may, and what was written down about it.

`roles` says who may what; `tokens`, `sessions` and `oidc` find out who asks; `limits` slows those
who ask too much; `audit` keeps what was done; `gate` puts them before every route.
"""
