"""From what a spec says (`image`, `url`) to a module in the blob store, or why not.

Called by the reconciler's workers, never by the planner, which only sees the answer. Nothing raises
for what a registry or a module does. `file` modules came with the tree and are not looked up here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from propeller.errors import DigestMismatch, Unavailable, UsageError, WireError
from propeller.model.ids import Digest
from propeller.model.module import Module, ModuleProblem, Resolved
from propeller.model.signing import Signed, key_set
from propeller.model.specs import ModuleRef
from propeller.registry.aot import builds_of
from propeller.registry.artifacts import Artifacts
from propeller.registry.blobs import DEFAULT_LIMIT, BlobStore
from propeller.registry.cosign import vouched
from propeller.registry.cosignkey import PublicKey
from propeller.registry.encrypted import is_sealed, read_sealed
from propeller.registry.http import Http
from propeller.registry.manifest import SEALED
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference, parse_location
from propeller.registry.registries import Registries
from propeller.registry.wasm import WasmFacts, inspect

_BROKEN = {"not_wasm": "NotWasm", "malformed": "NotWasm", "too_large": "TooLarge"}


def resolve(
    ref: ModuleRef,
    *,
    registries: Registries,
    blobs: BlobStore,
    limit: int = DEFAULT_LIMIT,
    http: Http | None = None,
    keys: Sequence[PublicKey] = (),
) -> Resolved:
    """Bring the module of `ref` into `blobs` and say what it is. limit: bytes of a module.

    keys: who may vouch for an image; which of them do is in `Module.signed`, None without keys.

    A tag means what it means now: the caller asks once a revision and keeps the answer. A digest in
    `ref` is that of the module itself. http: for `url` modules; one of its own if None.
    """
    try:
        if ref.image is not None:
            return _image(ref, ref.image, registries, blobs, limit=limit, keys=keys)
        if ref.url is not None and not ref.encrypted:
            with _given_or_own(http, registries) as asked:
                return _url(ref.url, ref.digest, asked, blobs, limit)
        if ref.url is not None:
            words = f"{ref}: encrypted: Required needs an image that was pushed with --encrypt-to"
            return ModuleProblem("NotEncrypted", words, retry=False)
        raise AssertionError(f"{ref} is neither an image nor a URL")
    except ArtifactError as error:
        return error.as_problem()
    except UsageError as error:
        return ModuleProblem("BadReference", str(error), retry=False)
    except Unavailable as error:
        return ModuleProblem("Unavailable", str(error), retry=True)
    except OSError as error:  # the store's own files: collected meanwhile, or a failing disk
        return ModuleProblem("Unavailable", f"{ref}: {error.strerror}", retry=True)
    except DigestMismatch as error:
        # The other side sent bytes that are not what it names itself: rot or a bad proxy.
        return ModuleProblem("DigestMismatch", str(error), retry=True)
    except WireError as error:
        reason = _BROKEN.get(error.reject, "BadContent")
        return ModuleProblem(reason, str(error), retry=reason == "BadContent")


def _image(
    ref: ModuleRef,
    image: str,
    registries: Registries,
    blobs: BlobStore,
    *,
    limit: int,
    keys: Sequence[PublicKey],
) -> Resolved:
    place = registries.place(parse_location(image))
    try:
        pinned = place.artifacts.resolve(place.reference)
    except Unavailable:
        if ref.digest is None or not blobs.has(ref.digest) or keys or ref.encrypted or ref.aot:
            raise  # with keys the registry is needed: the signatures are there, and native builds
        # The bytes are here and they are what the spec names: the registry may be down.
        data, known = blobs.read(ref.digest), place.reference.digest
        if is_sealed(data):
            raise  # what is inside stands in its config, which is in the registry
        direct = f"{place.reference.name}@{known}" if known and place.remote else None
        return _module(ref.digest, len(data), inspect(data), image=direct)
    if ref.digest is not None and not pinned.packed and pinned.digest != ref.digest:
        return _not_pinned(image, ref.digest, pinned.digest, pinned.manifest)
    here = f"{pinned.reference.name}@{pinned.manifest}"
    image_for_devices = here if place.remote and not pinned.packed else None
    if pinned.media_type == SEALED:
        config = place.artifacts.pull_sealed(pinned, blobs, limit=limit)
        sealed = read_sealed(config, digest=pinned.digest, size=pinned.size, where=image)
        signed = _signed(place.artifacts, pinned.reference, keys)
        return replace(sealed.module, image=image_for_devices, signed=signed)
    if ref.encrypted:
        return ModuleProblem(
            "NotEncrypted",
            f"{image}: plain bytes, where the spec says encrypted: Required;"
            " push it with `propeller push --encrypt-to KEY`",
            retry=False,
        )
    pulled = place.artifacts.pull_pinned(pinned, blobs, limit=limit)
    if ref.digest is not None and pulled.digest != ref.digest:
        return _not_pinned(image, ref.digest, pulled.digest, pinned.manifest)
    module = _module(pulled.digest, pulled.size, pulled.facts, image=image_for_devices)
    signed = _signed(place.artifacts, pinned.reference, keys)
    if not ref.aot or pulled.facts.component:
        return replace(module, signed=signed)
    aot = builds_of(
        place.artifacts,
        pinned.reference,
        blobs,
        limit=limit,
        keys=keys,
        by=() if signed is None else signed.by,
    )
    return replace(module, signed=signed, aot=aot)


def _signed(artifacts: Artifacts, ref: Reference, keys: Sequence[PublicKey]) -> Signed | None:
    if not keys:
        return None
    found = vouched(artifacts, ref, keys)
    by = tuple(sorted({one.key.id for one in found}))
    return Signed(looked=key_set(key.id for key in keys), by=by)


def _not_pinned(image: str, wanted: Digest, got: Digest, manifest: Digest) -> ModuleProblem:
    hint = ""
    if wanted == manifest:
        hint = f"; that is the digest of its manifest: write image: {image}@{manifest} instead"
    return ModuleProblem(
        "DigestMismatch",
        f"{image}: its module is {got}, the spec wants {wanted}{hint}",
        retry=False,
    )


def _url(url: str, digest: Digest | None, http: Http, blobs: BlobStore, limit: int) -> Resolved:
    if digest is None:
        raise ArtifactError("BadReference", f"{url}: a module at a URL needs its digest")
    if not blobs.has(digest):
        where = urlsplit(url)._replace(query="", fragment="").geturl()  # queries may hold secrets
        response = http.request("GET", url, where=where)
        http.expect_success(response, where=where)
        try:
            blobs.put_stream(http.pieces(response, where=where), digest, limit=limit, where=where)
        except DigestMismatch as error:
            return ModuleProblem("DigestMismatch", str(error), retry=False)
        finally:
            response.close()
    data = blobs.read(digest)
    return _module(digest, len(data), inspect(data))


@contextmanager
def _given_or_own(http: Http | None, registries: Registries) -> Iterator[Http]:
    if http is not None:
        yield http
        return
    own = Http(
        plain_http=[name for name, host in registries.hosts.items() if host.plain_http],
        connect=registries.connect,
        read=registries.read,
        deadline=registries.deadline,
        ca=registries.ca,
    )
    try:
        yield own
    finally:
        own.close()


def _module(digest: Digest, size: int, facts: WasmFacts, image: str | None = None) -> Module:
    return Module(
        identity=digest,
        digest=digest,
        size=size,
        imports=facts.imports,
        exports=facts.exports,
        memory_min=facts.memory_min,
        memory_max=facts.memory_max,
        component=facts.component,
        image=image,
    )
