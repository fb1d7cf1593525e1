"""An instrument that writes down what it is told."""

from dataclasses import dataclass

from trio_ws import ConnectionClosed, Instrument, Request, Response, WebSocket


@dataclass(frozen=True)
class Told:
    """One thing that was told: by which method, of what, and with which arguments."""

    name: str
    websocket: WebSocket | None
    facts: tuple[object, ...] = ()


class Recorder(Instrument):
    """Writes down all there is to hear."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    def accepted(self, request: Request, response: Response) -> None:
        """Write it down."""
        self.told.append(Told("accepted", None, (request, response)))

    def rejected(self, request: Request | None, error: Exception) -> None:
        """Write it down."""
        self.told.append(Told("rejected", None, (request, error)))

    def opened(self, websocket: WebSocket) -> None:
        """Write it down."""
        self.told.append(Told("opened", websocket))

    def message_sent(self, websocket: WebSocket, size: int, *, text: bool) -> None:
        """Write it down."""
        self.told.append(Told("message_sent", websocket, (size, text)))

    def message_received(self, websocket: WebSocket, size: int, *, text: bool) -> None:
        """Write it down."""
        self.told.append(Told("message_received", websocket, (size, text)))

    def ping_answered(self, websocket: WebSocket, round_trip: float) -> None:
        """Write it down."""
        self.told.append(Told("ping_answered", websocket, (round_trip,)))

    def closed(self, websocket: WebSocket, end: ConnectionClosed, duration: float) -> None:
        """Write it down."""
        self.told.append(Told("closed", websocket, (end, duration)))

    def error(self, websocket: WebSocket | None, error: BaseException) -> None:
        """Write it down."""
        self.told.append(Told("error", websocket, (error,)))

    @property
    def names(self) -> list[str]:
        """What was told, in order."""
        return [each.name for each in self.told]

    def facts(self, name: str) -> list[tuple[object, ...]]:
        """Return the arguments of all that was told by this method, but for the WebSocket."""
        return [each.facts for each in self.told if each.name == name]

    def only(self, name: str) -> Told:
        """Return what was told by this method, which is one thing."""
        (told,) = (each for each in self.told if each.name == name)
        return told
