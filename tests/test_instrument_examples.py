"""The examples of instruments, scraped and read as Prometheus and OpenTelemetry do."""

import json
from contextlib import suppress
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.running import Program, fetch, running
from trio_ws import ConnectionBroken, open_websocket_url


async def scrape(address: str) -> dict[tuple[str, str], float]:
    """Return what a scrape gives, of ours: by name, and by the value of the label."""
    status, kind, page = await fetch(address, "GET", "/metrics")
    assert status == 200
    assert kind is not None
    assert kind.startswith("text/plain")
    return {
        (sample.name.removeprefix("websocket_"), "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.startswith("websocket_") and not sample.name.endswith("_created")
    }


async def test_metrics_count_what_happens() -> None:
    """On the port that serves the WebSockets, and while they are open."""
    async with running("metrics_prometheus.py", 0) as server:
        address = await server.address()
        assert await scrape(address) == {("open", ""): 0}
        async with open_websocket_url(address) as ws:
            for message in ("four", "f\xfcr", b"12345"):
                await ws.send(message)
                assert await ws.receive() == message
            during = await scrape(address)
        after = await scrape(address)
    counted = {
        ("received_bytes_count", "text"): 2,
        ("received_bytes_sum", "text"): 8,
        ("received_bytes_count", "binary"): 1,
        ("received_bytes_sum", "binary"): 5,
    }
    assert during == {("open", ""): 1, ("rejected_total", "200"): 1, **counted}
    assert after.pop(("closed_seconds_sum", "1000")) > 0
    closed = {("closed_seconds_count", "1000"): 1}
    assert after == {("open", ""): 0, ("rejected_total", "200"): 2, **closed, **counted}


async def next_span(program: Program) -> dict[str, Any]:
    """Return the next span that is printed."""
    lines: list[str] = []
    while not lines or lines[-1] != "}":
        lines.append(await program.line())
    span: dict[str, Any] = json.loads("\n".join(lines))
    return span


async def test_traces_have_a_span_for_each_connection() -> None:
    """With its messages and its end, below the client's if there is one."""
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    async with running("tracing_opentelemetry.py", 0) as server:
        address = await server.address()
        headers = {"traceparent": f"00-{trace}-{parent}-01"}
        async with open_websocket_url(f"{address}there", headers=headers) as ws:
            await ws.send("2.25")
            assert await ws.receive() == "4.5"
            await ws.aclose(4000, "enough")
        span = await next_span(server)
    assert (span["name"], span["kind"]) == ("/there", "SpanKind.SERVER")
    assert span["context"]["trace_id"] == f"0x{trace}"
    assert span["parent_id"] == f"0x{parent}"
    assert span["status"] == {"status_code": "UNSET"}
    assert span["attributes"] == {"close.code": 4000, "close.reason": "enough"}
    assert [(each["name"], each["attributes"]) for each in span["events"]] == [
        ("received", {"size": 4, "text": True}),
        ("sent", {"size": 3, "text": True}),
    ]


async def test_traces_say_when_a_handler_failed() -> None:
    """The span has the status of an error, and a trace of its own where the client has none."""
    async with running("tracing_opentelemetry.py", 0) as server:
        with suppress(ConnectionBroken):
            async with open_websocket_url(await server.address()) as ws:
                await ws.send("two")
                await ws.receive()
        span = await next_span(server)
        while not (await server.line()).startswith("ValueError: "):
            pass  # the traceback, which is logged as well
    assert span["parent_id"] is None
    assert span["status"]["status_code"] == "ERROR"
    assert "two" in span["status"]["description"]
    assert span["attributes"]["close.code"] == 1011
