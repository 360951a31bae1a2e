"""How the gateway says no: RFC 9457 for programs, the same words for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PROBLEM_TYPE: Final = "application/problem+json"

TITLES: Final[Mapping[int, str]] = {
    400: "Bad request",
    401: "Not logged in",
    403: "Not allowed",
    404: "Not here",
    405: "Not that method",
    408: "Too slow",
    409: "Conflict",
    413: "Too large",
    415: "Unknown media type",
    422: "Not as it must be",
    429: "Too many requests",
    500: "A defect of Propeller",
    503: "Not now",
    504: "No answer in time",
}


class Problem(Exception):
    """A request that is refused. exit: what a command that made it should end with.

    retry: seconds after which it may go well. The detail never holds what was sent as a secret.
    """

    def __init__(self, status: int, detail: str, *, exit: int = 2, retry: float = 0.0) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.exit = exit
        self.retry = retry
        self.told = False
        """Whether the audit log has it already."""

    def document(self) -> dict[str, object]:
        """The body of the answer."""
        return {
            "type": "about:blank",
            "title": TITLES.get(self.status, "Refused"),
            "status": self.status,
            "detail": self.detail,
            "exit": self.exit,
        }

    def headers(self) -> dict[str, str]:
        """What belongs into the head of the answer."""
        out = {}
        if self.status == 401:
            out["WWW-Authenticate"] = 'Bearer realm="propeller"'
        if self.retry:
            out["Retry-After"] = str(max(1, round(self.retry + 0.5)))
        return out
