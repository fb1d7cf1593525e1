"""Traces for OpenTelemetry: a span for each connection, with an event for each message."""

import sys
from functools import partial

import trio
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from trio_ws import ConnectionClosed, Instrument, Server, WebSocket, serve_websocket


class Tracing(Instrument):
    """Keeps a span for each open connection, as a child of the client's, if it names one."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("trio_ws")
        self._spans: dict[WebSocket, trace.Span] = {}

    def opened(self, websocket: WebSocket) -> None:
        parent = propagate.extract(websocket.request.headers)
        kind = trace.SpanKind.SERVER
        self._spans[websocket] = self._tracer.start_span(websocket.request.path, parent, kind)

    def message_received(self, websocket: WebSocket, size: int, *, text: bool) -> None:
        self._spans[websocket].add_event("received", {"size": size, "text": text})

    def message_sent(self, websocket: WebSocket, size: int, *, text: bool) -> None:
        self._spans[websocket].add_event("sent", {"size": size, "text": text})

    def error(self, websocket: WebSocket | None, error: BaseException) -> None:
        if websocket in self._spans:  # or else it was closed already when its handler failed
            self._spans[websocket].set_status(trace.StatusCode.ERROR, repr(error))

    def closed(self, websocket: WebSocket, end: ConnectionClosed, duration: float) -> None:
        span = self._spans.pop(websocket)
        span.set_attributes({"close.code": end.code, "close.reason": end.reason})
        span.end()


async def double(ws: WebSocket) -> None:
    """Send back twice the number that comes; it fails when that is none."""
    async for message in ws:
        await ws.send(f"{2 * float(message):g}")


async def main(port: int) -> None:
    """Serve until Ctrl-C."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    serve = partial(serve_websocket, instruments=[Tracing(provider)])
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, double, "localhost", port)
        print(f"serving on ws://localhost:{server.port}/")


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 8765)
