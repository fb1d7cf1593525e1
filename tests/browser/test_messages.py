"""Messages between Chromium and our server: kinds, sizes, compression, subprotocols."""

from dataclasses import replace

import pytest

from tests.browser.chromium import Window
from tests.browser.probe import REFUSED, address_of, answer, both_ends, open_probe
from tests.servers import echo, serve_on_loopback
from trio_ws import ConnectionClosed, Deflate, Limits

MIB = 2**20


async def test_text_both_ways(window: Window) -> None:
    """Text is text at both ends, to the last code point."""
    async with both_ends(window) as (probe, ws, opened):
        assert opened == {"type": "open", "protocol": "", "extensions": ""}
        for text in ("", "hello", "grüße, 世界 👋", "a\0b\n"):
            await probe.run("text => socket.send(text)", text)
            assert await ws.receive() == text
            await ws.send(text)
            assert await probe.next() == {"type": "message", "kind": "String", "data": text}


@pytest.mark.parametrize("kind", ["ArrayBuffer", "Blob"])
async def test_binary_both_ways(window: Window, kind: str) -> None:
    """Binary is bytes at our end, and at the other one of the kind that the page asks for."""
    data = bytes(range(256))
    make = {
        "ArrayBuffer": "Uint8Array.from(data).buffer",
        "Blob": "new Blob([Uint8Array.from(data)])",
    }
    async with both_ends(window) as (probe, ws, _):
        await probe.run("kind => { socket.binaryType = kind.toLowerCase(); }", kind)
        for some in (b"", data):
            await probe.run(f"data => socket.send({make[kind]})", [*some])
            assert await ws.receive() == some
            await ws.send(some)
            assert await probe.next() == {"type": "message", "kind": kind, "data": [*some]}


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_one_mebibyte_both_ways(window: Window, compression: Deflate | None) -> None:
    """A message as large as is allowed arrives whole, in both directions; a larger one does not."""
    async with both_ends(window, compression=compression) as (probe, ws, _):
        assert Limits().max_message_size == MIB
        await probe.run("size => socket.send('ü'.repeat(size / 2))", MIB)
        assert await ws.receive() == "ü" * (MIB // 2)
        await ws.send("ü" * (MIB // 2))
        same = "next().then(({ data }) => data === 'ü'.repeat(data.length) && data.length)"
        assert await probe.run(same) == MIB // 2
        await probe.run("size => socket.send(new Uint8Array(size).fill(7))", MIB)
        assert await ws.receive() == b"\7" * MIB
        await ws.send(b"\7" * MIB)
        all_same = "next().then(({ data }) => data.every((byte) => byte === 7) && data.length)"
        assert await probe.run(all_same) == MIB
        await probe.run("size => socket.send(new Uint8Array(size))", MIB + 1)
        with pytest.raises(ConnectionClosed):
            await ws.receive()
        end = await probe.next()
        assert (end["type"], end["code"], end["wasClean"]) == ("close", 1009, True)


@pytest.mark.parametrize(
    ("compression", "extensions"),
    [
        (Deflate(), "client_max_window_bits=12"),
        (Deflate(window_bits=15, peer_window_bits=10), "client_max_window_bits=10"),
        (
            Deflate(context_takeover=False, peer_context_takeover=False),
            "client_max_window_bits=12; server_no_context_takeover; client_no_context_takeover",
        ),
    ],
    ids=["default", "windows", "no takeover"],
)
async def test_compression_as_chromium_negotiates_it(
    window: Window, compression: Deflate, extensions: str
) -> None:
    """Both ends agree on what we wish for, and what they send is compressed indeed."""
    text = "the same words over and over again, " * 1000
    async with both_ends(window, compression=compression) as (probe, ws, opened):
        assert opened["extensions"] == f"permessage-deflate; {extensions}"
        # The peer's window is ours where nothing is said, and Chromium lets us choose.
        agreed = replace(compression, peer_window_bits=compression.peer_window_bits or 12)
        assert ws.compression == agreed
        for _ in range(2):  # the second message may refer to the first
            await probe.run("text => socket.send(text)", text)
            assert await ws.receive() == text
            await ws.send(text)
            assert await probe.next() == {"type": "message", "kind": "String", "data": text}
        statistics = ws.statistics()
        assert statistics.bytes_received < len(text) / 50
        assert statistics.bytes_sent < len(text) / 50


async def test_no_compression_unless_wished_for(window: Window) -> None:
    """What Chromium offers is not taken by a server that has not been told to."""
    text = "the same words over and over again, " * 1000
    async with both_ends(window) as (probe, ws, opened):
        assert (opened["extensions"], ws.compression) == ("", None)
        await probe.run("text => socket.send(text)", text)
        assert await ws.receive() == text
        assert ws.statistics().bytes_received > len(text)


async def test_page_is_told_the_subprotocol(window: Window) -> None:
    """Of what a page offers it is told the one that the server prefers."""
    async with both_ends(window, "v1", "v2", subprotocols=["v3", "v2", "v1"]) as (_, ws, opened):
        assert opened["protocol"] == ws.subprotocol == "v2"


async def test_page_that_offers_subprotocols_in_vain(window: Window) -> None:
    """A server that speaks none of them accepts all the same; it is Chromium that refuses then."""
    async with serve_on_loopback(echo, process_request=answer) as server:
        probe = await open_probe(window, address_of(server))
        await probe.connect(address_of(server, "ws"), "v1")
        assert [await probe.next(), await probe.next()] == REFUSED
    [complaint] = window.console
    assert "no response was received" in complaint
