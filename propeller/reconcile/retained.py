"""What the broker keeps of our documents: compared with what we asked, and recovered from.

Rule (j) of docs/reference/protocol.md: a retained document that is not ours is written anew. After
the store was lost, our own old ones say what we had asked of the fleet. Owned by `fleet`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.errors import WireError
from propeller.model.ids import PropletId, RunId, Uid
from propeller.model.inventory import Assignment
from propeller.plan.runs import parse_cause
from propeller.reconcile.world import World
from propeller.state.records import Asked
from propeller.wire.codec import decode, decode_tasks
from propeller.wire.frame import open_frame
from propeller.wire.messages import Desired, Entry

if TYPE_CHECKING:
    from propeller.reconcile.surroundings import Surroundings


class Retained:
    """See the module."""

    def __init__(self, world: World, around: Surroundings) -> None:
        self._world = world
        self._around = around
        self._held: dict[PropletId, tuple[int, int, str]] = {}
        self._recovered: dict[PropletId, tuple[Entry, ...]] = {}
        self._unread = False

    def begin(self) -> None:
        """A new connection: everything retained is read again."""
        self._held = {}
        self._unread = True

    def all_read(self) -> None:
        """What did not come is not there."""
        if not self._unread:
            return
        self._unread = False
        for proplet, asked in self._world.asked.items():
            held = self._held.setdefault(proplet, (0, 0, ""))
            if held != (asked.fence, asked.gen, asked.digest):
                self._world.touched.deliveries.add(proplet)

    def look(self, proplet: PropletId, payload: bytes, *, max_fence: int, now: int) -> int | None:
        """The fence of the document the broker holds for it; None where there is none.

        max_fence: ours; a document of a later one is nobody's to adopt. Raises WireError for what
        no key of this fleet signed. Whatever is not what was asked is written anew.
        """
        try:
            return self._look(proplet, payload, max_fence, now)
        finally:
            asked = self._world.asked.get(proplet)
            if asked is not None and self.differs(proplet, asked.fence, asked.gen, asked.digest):
                self._world.touched.deliveries.add(proplet)

    def _look(self, proplet: PropletId, payload: bytes, max_fence: int, now: int) -> int | None:
        self._held[proplet] = (0, 0, "") if not payload else (-1, -1, "")
        if not payload:
            return None
        opened = open_frame("desired", payload, self._around.devices.manager_keys)
        document = decode(Desired, opened.body)
        if document.to != proplet:
            raise WireError("id_mismatch", f"the document of {document.to}")
        told = self._held[proplet] = (document.fence, document.gen, document.digest)
        asked = self._world.asked.get(proplet)
        if asked is not None and told == (asked.fence, asked.gen, asked.digest):
            self._world.handings.kept(asked, now)
        if asked is None and document.fence <= max_fence:
            self._adopt(proplet, document, opened.body, now)
        return document.fence

    def _adopt(self, proplet: PropletId, document: Desired, body: bytes, now: int) -> None:
        """Our own document from before the store was lost: it is what we asked."""
        tasks = document.tasks
        if tasks is None and document.body is not None:
            data = self._around.read_blob(document.body.digest)
            tasks = decode_tasks(data) if data is not None else None
        self._world.put_asked(
            Asked(
                proplet=proplet,
                inst=document.inst,
                fence=document.fence,
                gen=document.gen,
                digest=document.digest,
                asked_at=now,
                due=now,
                attempts=0,
                body=body,
            )
        )
        self._recovered[proplet] = tasks or ()

    def take_recovered(self) -> list[Assignment]:
        """Copies that recovered documents speak of. Forgets them."""
        copies = []
        for proplet, entries in sorted(self._recovered.items()):
            for entry in entries:
                cause = parse_cause(entry.cause)
                copies.append(
                    Assignment(
                        uid=Uid(entry.uid),
                        proplet=proplet,
                        run=RunId(entry.run),
                        cause=entry.cause,
                        attempt=cause.attempt if cause else 1,
                        assigned_at=0,
                    )
                )
        self._recovered = {}
        return copies

    def differs(self, proplet: PropletId, fence: int, gen: int, digest: str) -> bool:
        """Whether the broker holds something else than what we asked (rule j)."""
        held = self._held.get(proplet)
        return held is not None and held != (fence, gen, digest)

    def published(self, proplet: PropletId, fence: int, gen: int, digest: str) -> None:
        """What the broker holds once our message arrived."""
        asked = self._world.asked.get(proplet)
        if asked is not None and (asked.fence, asked.gen) == (fence, gen):
            self._world.handings.published(asked, self._around.clock())
        self._held[proplet] = (fence, gen, digest)
