"""Importing this prepares the process for Gradio, which reads much of it as it is imported: so import it before Gradio.

What Gradio would do otherwise: ask other hosts about its version and tell them of launches; keep uploads in a folder
that may hold other files, too; end where a proxy is set, for it asks its own address through the proxy and cannot speak
SOCKS; take all visitors of a Space for one, for they come through Hugging Face's proxies.
"""

import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from serving import limits

PRIVATE_NETWORKS = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,127.0.0.1"
# Where Gradio puts this run's uploads, within a folder of this user's
UPLOADS = Path(
    os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir(),
    f"draw-a-digit-{getattr(os, 'getuid', int)()}",
    str(os.getpid()),
)
PROXIES = ("all_proxy", "http_proxy", "https_proxy")


def drop_socks_proxies() -> None:
    for name in [name for name in os.environ if name.lower() in PROXIES]:
        if os.environ[name].lower().startswith("socks"):
            del os.environ[name]
            print(f"The proxy that {name} names is not used: Gradio cannot speak SOCKS.", file=sys.stderr)


def bypass_proxies(*hosts: str) -> None:
    """Requests to these hosts go past any proxy."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), *(host.strip("[]") for host in hosts)]))


def allow_many_connections() -> None:
    """Each takes a file descriptor, of which the soft limit is often 1,024."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, limits.OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class OnceAMinute(logging.Filter):
    """Lets asyncio complain of too many connections once a minute: it does so 2,000 times a second, with tracebacks."""

    last = -60.0

    def filter(self, record: logging.LogRecord) -> bool:
        if "out of system resource" not in record.getMessage():
            return True
        if time.monotonic() < self.last + 60:
            return False
        self.last = time.monotonic()
        return True


os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ["GRADIO_TEMP_DIR"] = str(UPLOADS)
if os.environ.get("SPACE_ID"):
    os.environ.setdefault("FORWARDED_ALLOW_IPS", PRIVATE_NETWORKS)
drop_socks_proxies()
bypass_proxies("localhost", "127.0.0.1", "::1")
logging.getLogger("asyncio").addFilter(OnceAMinute())
