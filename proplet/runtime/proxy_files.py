"""`wasi:filesystem` without a single directory, for components that `proxy_host` serves.

What most toolchains build imports it, used or not. There is no descriptor, so nothing but the list
of directories, which is empty, can be asked for.
"""

from __future__ import annotations

from typing import NoReturn

from wasmtime import WasmtimeError

from proplet.runtime.proxy_io import Interface

_METHODS = """
advise append-via-stream create-directory-at get-flags get-type is-same-object link-at metadata-hash
metadata-hash-at open-at read read-directory read-via-stream readlink-at remove-directory-at
rename-at set-size set-times set-times-at stat stat-at symlink-at sync sync-data unlink-file-at
write write-via-stream
"""


def interfaces() -> dict[str, Interface]:
    """By name."""
    methods = {f"[method]descriptor.{name}": _nobody for name in _METHODS.split()}
    types = {
        **methods,
        "[method]directory-entry-stream.read-directory-entry": _nobody,
        "filesystem-error-code": lambda *_: None,
    }
    return {
        "wasi:filesystem/types": (("descriptor", "directory-entry-stream"), types),
        "wasi:filesystem/preopens": ((), {"get-directories": list}),
    }


def _nobody(*_: object) -> NoReturn:
    raise WasmtimeError("a handle of nothing")
