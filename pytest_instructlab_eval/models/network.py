"""The machine's settings of connections: trusted certificates and proxies."""

from __future__ import annotations

import os
import ssl
import urllib.request
from urllib.parse import urlsplit


def certificates() -> ssl.SSLContext:
    """Return the system's certificates and certifi's, or those that SSL_CERT_FILE or SSL_CERT_DIR name."""
    import certifi

    context = ssl.create_default_context()
    if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
        context.load_verify_locations(certifi.where())
    return context


def proxy_of(url: str) -> tuple[str | None, str | None]:
    """Return the variable that names a proxy for the URL, and the proxy's own URL; two None without one."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    scheme = parts.scheme if parts.scheme in proxies else "all"
    proxy = proxies.get(scheme, "")
    if not proxy.startswith(("http://", "https://")) or urllib.request.proxy_bypass(parts.netloc):
        return None, None
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    return next((name for name in names if os.environ.get(name)), "the system's settings"), proxy
