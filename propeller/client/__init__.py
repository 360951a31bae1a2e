"""A small typed client of `/api/v1`, for notebooks and scripts.

from propeller.client import Client
fleet = Client("http://127.0.0.1:7070", token="ppl_...")
fleet.apply("specs/add.yaml")
fleet.wait("Task/default/add")
fleet.results("Task/default/add")          # {"gateway-1": "42"}
fleet.model("FederatedTask/default/digits")  # {"w": array(...), "b": array(...)}
"""

from propeller.client.fleet import Client
from propeller.client.things import (
    Change,
    Event,
    LogPiece,
    Object,
    Proplet,
    Refused,
    Revision,
    Round,
)

__all__ = [
    "Change",
    "Client",
    "Event",
    "LogPiece",
    "Object",
    "Proplet",
    "Refused",
    "Revision",
    "Round",
]
