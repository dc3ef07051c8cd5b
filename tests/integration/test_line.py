"""Does a line believe only whom it should, and does nobody hold or fill it? A real TLS server.

Its authority is our own. Every kind of certificate that must not be believed, each with the proof that the same
server is believed when it is right, and that nothing of a message was sent to who is not. Cited: F33 (nothing
leaves for a stranger).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from builders import SECRET
from real_broker import cancelled

from alerts.line import NO_FILES, Endpoint, Line, Outcome, client, trusted_by, trusted_by_all
from tocsin.clock import AffineClock
from tocsin.limits import ANSWER_MAX_BYTES
from tocsin.reach import INTERNET, Reach, reach_of
from tocsin.tls import TlsFiles

CLOCK = AffineClock()
LAB = reach_of((), is_lab=True)
BODY = b'{"alert": "alr_1"}'
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
ACCEPTED = Outcome(result="accepted", status=200)
OVER = 30.0  # in the place of a bound that is not the one which is asked about
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

Answer = Callable[[asyncio.StreamWriter], AsyncIterator[bytes]]


async def yes(_: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    yield OK


@dataclass
class Peer:
    """One HTTPS server: what it heard of messages, how many connections came and how many bytes it could say."""

    answer: Answer = yes
    port: int = 0
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    said: int = 0
    tasks: set[asyncio.Task[None] | None] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = int(head.split("content-length: ")[1].split("\r\n")[0])
                self.bodies.append(await reader.readexactly(size))
                async for part in self.answer(writer):
                    writer.write(part)
                    await writer.drain()
                    self.said += len(part)
                if self.answer is not yes:
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # hung up on, or the test is over
        finally:
            writer.close()


@asynccontextmanager
async def listening(peer: Peer, context: ssl.SSLContext | None) -> AsyncIterator[Peer]:
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=context)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in list(peer.tasks):
            if task is not None:
                await cancelled(task)


def served_by(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@asynccontextmanager
async def line_to(
    peer: Peer, *, tls: TlsFiles = NO_FILES, host: str = "localhost", reach: Reach = LAB, scheme: str = "https"
) -> AsyncIterator[Line]:
    endpoint = Endpoint(url=f"{scheme}://{host}:{peer.port}/hook", secret=SECRET, tls=tls, reach=reach)
    async with client(trusted_by(endpoint.tls, trusted_by_all())) as http:
        yield Line(endpoint=endpoint, http=http)


async def post(line: Line) -> Outcome:
    return await line.post("evt_1", BODY, "application/json", CLOCK.wall_ms())


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ours(authority: trustme.CA, tmp_path: Path) -> TlsFiles:
    """The authority, and a certificate by it in our name."""
    files = TlsFiles(ca=tmp_path / "ca.pem", cert=tmp_path / "us.pem", key=tmp_path / "us.key")
    assert files.ca is not None
    assert files.cert is not None
    assert files.key is not None
    us = authority.issue_cert(common_name="tocsin")
    authority.cert_pem.write_to_path(files.ca)
    us.cert_chain_pems[0].write_to_path(files.cert)
    us.private_key_pem.write_to_path(files.key)
    return files


# --- whom it believes --------------------------------------------------------------------------------------------


async def test_a_certificate_by_the_authority_that_is_set_is_believed(
    authority: trustme.CA, ours: TlsFiles
) -> None:
    async with (
        listening(Peer(), served_by(authority.issue_cert("localhost"))) as peer,
        line_to(peer, tls=ours) as line,
    ):
        assert [await post(line) for _ in range(3)] == [ACCEPTED] * 3
    assert peer.bodies == [BODY] * 3
    assert peer.connections == 1, "an answer read to its end keeps the connection"


WRONG: dict[str, Callable[[trustme.CA], trustme.LeafCert]] = {
    "another authority": lambda _: trustme.CA().issue_cert("localhost"),
    "expired": lambda ca: ca.issue_cert("localhost", not_before=LONG_AGO, not_after=LONG_AGO + timedelta(days=90)),
    "not yet": lambda ca: ca.issue_cert("localhost", not_before=datetime.now(UTC) + timedelta(days=2)),
    "another name": lambda ca: ca.issue_cert("other.example"),
}


@pytest.mark.parametrize("certificate", WRONG.values(), ids=WRONG)
async def test_who_cannot_be_believed_is_told_nothing(
    authority: trustme.CA, ours: TlsFiles, certificate: Callable[[trustme.CA], trustme.LeafCert]
) -> None:
    async with listening(Peer(), served_by(certificate(authority))) as peer, line_to(peer, tls=ours) as line:
        assert await post(line) == Outcome(result="tls_failed")
    assert peer.bodies == []


async def test_the_authority_of_one_recipient_is_no_other_recipients(authority: trustme.CA) -> None:
    """Without the file there are the machine's authorities, and this is none of them."""
    async with listening(Peer(), served_by(authority.issue_cert("localhost"))) as peer, line_to(peer) as line:
        assert await post(line) == Outcome(result="tls_failed")
    assert peer.bodies == []


@pytest.mark.parametrize("shown", [True, False])
async def test_a_recipient_that_asks_who_we_are(authority: trustme.CA, ours: TlsFiles, shown: bool) -> None:
    """mTLS: with our certificate it hears, without it nothing. It says so behind its own handshake (TLS 1.3)."""
    context = served_by(authority.issue_cert("localhost"))
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    tls = ours if shown else replace(ours, cert=None, key=None)
    async with listening(Peer(), context) as peer, line_to(peer, tls=tls) as line:
        outcome = await post(line)
    if shown:
        assert outcome == ACCEPTED
    else:
        assert outcome.result in {"tls_failed", "readerror"}, (
            "its alert, or the end of the connection: who is faster"
        )
    assert peer.bodies == ([BODY] if shown else [])


# --- where it may lead -------------------------------------------------------------------------------------------


async def test_a_name_that_leads_into_our_own_house_is_told_nothing(authority: trustme.CA, ours: TlsFiles) -> None:
    """It has the right certificate, even: who answers for a name may not choose the machine."""
    async with (
        listening(Peer(), served_by(authority.issue_cert("localhost"))) as peer,
        line_to(peer, tls=ours, reach=INTERNET) as line,
    ):
        assert [await post(line) for _ in range(2)] == [Outcome(result="address_refused")] * 2
    assert peer.bodies == []


async def test_in_clear_text_too() -> None:
    async with listening(Peer(), None) as peer, line_to(peer, scheme="http", reach=INTERNET) as line:
        assert await post(line) == Outcome(result="address_refused")
    assert peer.bodies == []


async def test_an_address_that_was_typed_is_meant(authority: trustme.CA, ours: TlsFiles) -> None:
    async with (
        listening(Peer(), served_by(authority.issue_cert("127.0.0.1"))) as peer,
        line_to(peer, tls=ours, host="127.0.0.1", reach=INTERNET) as line,
    ):
        assert await post(line) == ACCEPTED


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_even_to_a_host_that_is_allowed(status: int) -> None:
    async with listening(Peer(), None) as other:

        async def elsewhere(_: asyncio.StreamWriter) -> AsyncIterator[bytes]:
            where = f"http://127.0.0.1:{other.port}/hook"
            yield f"HTTP/1.1 {status} There\r\nlocation: {where}\r\ncontent-length: 0\r\n\r\n".encode()

        async with listening(Peer(elsewhere), None) as peer, line_to(peer, scheme="http") as line:
            assert await post(line) == Outcome(result=f"status_{status}", status=status)
        assert (len(peer.bodies), other.connections) == (1, 0)


# --- nobody holds or fills it ------------------------------------------------------------------------------------


async def without_end(_: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    while True:
        yield b"4000\r\n" + b"x" * 0x4000 + b"\r\n"


async def drop_by_drop(_: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    while True:
        yield b"1\r\nx\r\n"
        await asyncio.sleep(0.05)


async def cut_short(_: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of"


async def cut_chunk(_: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\nhalf of"


async def refusal_cut_short(_: asyncio.StreamWriter) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\nhalf of"


async def test_an_answer_without_end_does_not_fill_us() -> None:
    """What it could say before it was hung up on is our bound, and what the sockets hold."""
    async with listening(Peer(without_end), None) as peer, line_to(peer, scheme="http") as line:
        assert await post(line) == ACCEPTED
        said = peer.said
    assert ANSWER_MAX_BYTES < said < 100 * ANSWER_MAX_BYTES


async def test_an_answer_drop_by_drop_does_not_hold_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """The yes was said, and counts when we have listened long enough, before the attempt's own time is over:
    of that there is so much here that nothing ends by it."""
    monkeypatch.setattr("alerts.line.WEBHOOK_TIMEOUT_S", OVER)
    async with listening(Peer(drop_by_drop), None) as peer, line_to(peer, scheme="http") as line:
        async with asyncio.timeout(2 * OVER / 3):
            assert await post(line) == ACCEPTED
        assert len(peer.bodies) == 1


@pytest.mark.parametrize("answer", [cut_short, cut_chunk])
async def test_a_yes_that_breaks_off_is_none(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever died while answering may have forgotten the question; a repetition has the same name. He dies at
    once: a slow machine is not to take him for one who goes on talking."""
    for bound in ("WEBHOOK_TIMEOUT_S", "ANSWER_TAIL_S"):
        monkeypatch.setattr(f"alerts.line.{bound}", OVER)
    async with listening(Peer(answer), None) as peer, line_to(peer, scheme="http") as line:
        assert await post(line) == Outcome(result="remoteprotocolerror", status=200)


async def test_a_no_that_breaks_off_is_a_no() -> None:
    async with listening(Peer(refusal_cut_short), None) as peer, line_to(peer, scheme="http") as line:
        assert await post(line) == Outcome(result="status_500", status=500)


def test_an_endpoint_does_not_show_its_secret() -> None:
    assert SECRET not in repr(Endpoint(url="https://t.example", secret=SECRET))
