"""Where a source tree comes from: a folder, an archive, the cache, the network, or this package."""

from bootstrap.sources.cache import Cache, cache_root
from bootstrap.sources.checkouts import checkout_at, fetch_checkout
from bootstrap.sources.identity import require_materials
from bootstrap.sources.materials import (
    Change,
    MaterialsReport,
    check_materials,
    guest_view,
)
from bootstrap.sources.resolving import (
    Fetched,
    Resolved,
    against,
    embedded_source,
    fetch,
    resolve,
)
from bootstrap.sources.stagex import resolve_stagex
from bootstrap.sources.tree import SourceTree, open_source

__all__ = [
    "Cache",
    "Change",
    "Fetched",
    "MaterialsReport",
    "Resolved",
    "SourceTree",
    "against",
    "cache_root",
    "check_materials",
    "checkout_at",
    "embedded_source",
    "fetch",
    "fetch_checkout",
    "guest_view",
    "open_source",
    "require_materials",
    "resolve",
    "resolve_stagex",
]
