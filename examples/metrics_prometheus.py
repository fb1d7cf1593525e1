"""Metrics for Prometheus, at /metrics of the port of an echo server; see trio_ws.Instrument."""

import sys
from functools import partial

import trio
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Summary, generate_latest

import trio_ws
from trio_ws import WebSocket

OPEN = Gauge("websocket_open", "Connections that are open")
CLOSED = Summary("websocket_closed_seconds", "How long closed ones were open", ["code"])
RECEIVED = Summary("websocket_received_bytes", "Sizes of messages received", ["kind"])
REJECTED = Counter("websocket_rejected", "Requests answered otherwise, like this one", ["status"])
ERRORS = Counter("websocket_errors", "What failed in handlers and elsewhere", ["type"])


class Metrics(trio_ws.Instrument):
    """Counts what it is told of."""

    def closed(self, websocket: WebSocket, end: trio_ws.ConnectionClosed, duration: float) -> None:
        CLOSED.labels(end.code).observe(duration)

    def message_received(self, websocket: WebSocket, size: int, *, text: bool) -> None:
        RECEIVED.labels("text" if text else "binary").observe(size)

    def rejected(self, request: trio_ws.Request | None, error: Exception) -> None:
        if isinstance(error, trio_ws.ConnectionRejected):
            REJECTED.labels(error.response.status).inc()

    def error(self, websocket: WebSocket | None, error: BaseException) -> None:
        ERRORS.labels(type(error).__name__).inc()


def answer(request: trio_ws.Request) -> trio_ws.Response | None:
    """Answer a scrape; WebSockets go on to the handler."""
    if request.path != "/metrics":
        return None
    return trio_ws.Response(200, {"Content-Type": CONTENT_TYPE_LATEST}, generate_latest())


async def echo(ws: WebSocket) -> None:
    """Send back what comes."""
    async for message in ws:
        await ws.send(message)


async def main(port: int) -> None:
    """Serve until Ctrl-C."""
    serve = partial(trio_ws.serve_websocket, process_request=answer, instruments=[Metrics()])
    async with trio.open_nursery() as nursery:
        server: trio_ws.Server = await nursery.start(serve, echo, "localhost", port)
        OPEN.set_function(lambda: server.statistics().connections)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 8765)
