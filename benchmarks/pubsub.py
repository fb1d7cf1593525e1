"""What publishing costs: in memory, and through a Redis on this machine.

    python -m benchmarks.pubsub

One process subscribes a hundred times to one topic, each time with a task that receives, and
publishes to it: message after message from one task, then from many at once.  redis-server has to
be installed.
"""
# ruff: noqa: T201 - a script prints

import resource
import time

import trio

from tests.redis_server import running_redis
from trio_ws.pubsub import Broker, MemoryBroker, open_redis_broker

SUBSCRIBERS = (1, 100)
PUBLISHERS = (1, 16)
SECONDS = 2.0
MESSAGE = "x" * 64
HEAD = "subscribers publishers      published      delivered   µs CPU/publish  µs CPU/delivery"


async def publish(broker: Broker, until: float, published: list[int]) -> None:
    """Publish until that time, and count."""
    while trio.current_time() < until:
        await broker.publish("topic", MESSAGE)
        published[0] += 1


async def measure(broker: Broker, subscribers: int, publishers: int) -> str:
    """Publish for a while; return a line of figures."""
    published, received = [0], [0]
    async with trio.open_nursery() as nursery:
        for _ in range(subscribers):
            nursery.start_soon(subscribe, broker, received)
        await trio.sleep(0.5)
        began, cpu = time.perf_counter(), used()
        async with trio.open_nursery() as publishing:
            for _ in range(publishers):
                publishing.start_soon(publish, broker, trio.current_time() + SECONDS, published)
        seconds, cpu = time.perf_counter() - began, used() - cpu
        nursery.cancel_scope.cancel()
    rate, share = published[0] / seconds, 1e6 * cpu / published[0]
    return (
        f"{subscribers:>11} {publishers:>10} {rate:>12,.0f}/s {received[0] / seconds:>12,.0f}/s"
        f" {share:>16.1f} {share / subscribers:>16.2f}"
    )


async def subscribe(broker: Broker, received: list[int]) -> None:
    """Subscribe, receive for ever, and count."""
    async with broker.subscribe("topic", max_queued=10_000) as subscription:
        async for _ in subscription:
            received[0] += 1


def used() -> float:
    """Return the CPU time of this process, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def main() -> None:
    """Measure and print."""
    async with running_redis() as redis, open_redis_broker(redis.url) as redis_broker:
        brokers: dict[str, Broker] = {"memory": MemoryBroker(), "redis": redis_broker}
        for name, broker in brokers.items():
            print(f"\n{name}\n{HEAD}")
            for subscribers in SUBSCRIBERS:
                for publishers in PUBLISHERS:
                    print(await measure(broker, subscribers, publishers))


if __name__ == "__main__":
    trio.run(main)
