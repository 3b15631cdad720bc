"""The address to listen on, tried before the page is built: Gradio reports problems late, or by a traceback."""

import errno
import os
import socket

LOCAL = "127.0.0.1"
PORTS = range(7860, 7960)  # Gradio's
ADVICE = f"Use {LOCAL}, or 0.0.0.0 to let others in."


def choose(host: str | None, port: int | None) -> tuple[str, int]:
    """The host and port for Gradio: those given, those of its environment, or this machine and the first free port.

    Raises `ValueError` with one sentence where nothing can listen there.
    """
    host = (host or os.environ.get("GRADIO_SERVER_NAME") or LOCAL).strip("[]")
    if port is None and os.environ.get("GRADIO_SERVER_PORT"):
        port = int(os.environ["GRADIO_SERVER_PORT"])
    if port is not None and not 0 < port < 65536:
        raise ValueError(f"There is no port {port}. Choose one from 1 to 65535.")
    ports = PORTS if port is None else [port]
    for candidate in ports:
        if is_free(host, candidate) and is_free(LOCAL, candidate):  # Gradio tries the latter, whatever the host
            return (f"[{host}]" if ":" in host else host), candidate
    if port is None:
        raise ValueError(f"All ports from {PORTS[0]} to {PORTS[-1]} are in use. Choose another with --port.")
    raise ValueError(f"Port {port} is in use. Choose another with --port, or leave it out for the first free one.")


def is_free(host: str, port: int) -> bool:
    """Raises `ValueError` where no port of the host can be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            if os.name == "posix":  # as the server will; elsewhere it would take a port that is in use
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
            return True
    except (socket.gaierror, UnicodeError):
        raise ValueError(f"There is no host {host!r}. {ADVICE}") from None
    except PermissionError:
        raise ValueError(f"Port {port} is reserved for administrators. Choose one from 1024 to 65535.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise ValueError(f"This machine cannot listen on {host}. {ADVICE}") from None
