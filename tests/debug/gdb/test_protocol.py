"""The protocol, packet by packet, as gdb's documentation has it; and what no client should send."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.debug import Session
from bootstrap.debug.gdb.registers import DESCRIPTIONS
from bootstrap.debug.gdb.server import PACKETS
from bootstrap.debug.gdb.wire import (
    PACKET_SIZE,
    PacketKind,
    PacketReader,
    address_of,
    checksum,
    escape,
    frame,
    is_loopback,
    number,
    unescape,
)
from tests.debug.gdb.clients import HELLO, Script, serve, talk
from tests.debug.material import record_image
from tests.instruments.guest import Program

# -- packets --------------------------------------------------------------------------------------


def test_a_frame_and_its_checksum() -> None:
    # The documentation's example of a checksum is modulo 256 of all characters.
    assert frame(b"OK") == b"$OK#9a"
    assert frame(b"") == b"$#00"
    assert checksum(b"\xff\xff") == b"fe"
    assert escape(b"a#b$c}d*e") == b"a}\x03b}\x04c}]d}\ne"


@given(content=st.binary(max_size=400))
def test_what_is_escaped_comes_out_again(content: bytes) -> None:
    raw = escape(content)
    assert not set(raw) & set(b"#$")
    assert unescape(raw) == content
    (event,) = PacketReader().feed(frame(raw))
    assert (event.kind, event.content) == (PacketKind.PACKET, content)


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=5))
def test_pieces_are_read_as_the_whole(data: bytes, cuts: list[int]) -> None:
    whole, pieces = PacketReader(), PacketReader()
    expected = list(whole.feed(data))
    at = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    found = [event for start, end in pairwise(at) for event in pieces.feed(data[start:end])]
    assert found == expected


@given(noise=st.binary(max_size=200))
def test_after_any_noise_a_packet_is_read(noise: bytes) -> None:
    reader = PacketReader()
    list(reader.feed(noise))
    # Two: the first one's `$` may be taken for the checksum of what the noise began.
    events = list(reader.feed(frame(b"first") + frame(b"second")))
    assert (events[-1].kind, events[-1].content) == (PacketKind.PACKET, b"second")


def test_bad_long_and_cut_packets() -> None:
    kinds = [
        event.kind for event in PacketReader().feed(b"$OK#00" + frame(b"x" * (PACKET_SIZE + 1)))
    ]
    assert kinds == [PacketKind.BAD, PacketKind.LONG]
    events = list(PacketReader().feed(b"$half a pack" + frame(b"?") + b"+-\x03 \x04"))
    assert [e.kind for e in events] == [
        PacketKind.PACKET,
        PacketKind.ACK,
        PacketKind.AGAIN,
        PacketKind.INTERRUPT,
    ]
    assert next(PacketReader().feed(frame(b"x" * PACKET_SIZE))).content == b"x" * PACKET_SIZE


def test_numbers_are_plain_hex() -> None:
    assert number(b"fF") == 255
    for wrong in (b"", b"-1", b"+1", b"1_0", b" 1", b"0x1", b"1" * 17, b"g"):
        with pytest.raises(ValueError, match=r".*"):
            number(wrong)


# -- acknowledging --------------------------------------------------------------------------------


def test_packets_are_acknowledged_until_both_agree(loop: Session) -> None:
    wire = Script(frame(b"qC"), b"$qC#00", b"-", frame(b"QStartNoAckMode"), frame(b"qC"), b"$qC#00")
    serve(loop, wire)
    reply = frame(b"QC1")
    assert wire.sent == (
        b"+" + reply  # taken
        + b"-"  # a wrong checksum: again, please
        + reply  # ours again, since the client wants it
        + b"+" + frame(b"OK")
        + reply  # no more acknowledgements; a wrong checksum is dropped
    )  # fmt: skip


def test_a_packet_that_came_again_meanwhile_is_replied_to_once(loop: Session) -> None:
    """gdb sends it again when it waits for a slow start, and takes each reply for the next."""
    wire = Script(frame(b"qC") * 3, frame(b"?") + frame(b"qC"), frame(b"qC"))
    serve(loop, wire)
    assert [reply[:3] for reply in wire.replies] == [b"QC1", b"T05", b"QC1", b"QC1"]


def test_a_packet_that_is_too_long_is_refused(loop: Session) -> None:
    replies = talk(loop, b"m" + b"0" * (2 * PACKET_SIZE), b"qC")
    assert replies == [b"E.packet of more than 16384 bytes", b"QC1"]


# -- what is supported ----------------------------------------------------------------------------


def test_what_is_advertised_is_done(loop: Session) -> None:
    (output,) = talk(loop, HELLO)
    features = dict(f.partition(b"=")[::2] for f in output.split(b";"))
    assert int(features[b"PacketSize"], 16) == PACKET_SIZE
    does = {
        b"QStartNoAckMode+": b"QStartNoAckMode",
        b"vContSupported+": b"vCont?",
        b"ReverseStep+": b"bs",
        b"ReverseContinue+": b"bc",
        b"binary-upload+": b"x0,0",
        b"qXfer:features:read+": b"qXfer:features:read:target.xml:0,100",
        b"qXfer:auxv:read+": b"qXfer:auxv:read::0,1000",
        b"qXfer:exec-file:read+": b"qXfer:exec-file:read:1:0,100",
        b"qXfer:libraries-svr4:read+": b"qXfer:libraries-svr4:read::0,100",
        b"multiprocess+": b"Hgp1.1",
        b"swbreak+": b"Z0,10000,4",
        b"hwbreak+": b"Z1,10000,4",
    }
    assert set(features) == {b"PacketSize", b"fork-events+", b"exec-events+", *does}
    for packet in does.values():
        *_, reply = talk(loop, HELLO, packet)
        assert reply, packet
        assert not reply.startswith(b"E"), packet
    # Nothing that needs the client's help where it offers none.
    (plain,) = talk(loop, b"qSupported")
    assert not {f for f in plain.split(b";") if f.startswith((b"multi", b"fork", b"sw", b"exec"))}


@pytest.mark.parametrize(
    "packet",
    [b"vMustReplyEmpty", b"vFlashErase:0,1", b"QNonStop:1", b"qTStatus",
     b"qXfer:memory-map:read::0,9", b"b", b"bx", b"vFile:unlink:2f61", b"vRun;", b"e", b"",
     b"Z5,0,0", b"QPassSignals:1"],
)  # fmt: skip
def test_what_is_not_done_has_an_empty_reply(loop: Session, packet: bytes) -> None:
    assert talk(loop, packet) == [b""]


@pytest.mark.parametrize("packet", [b"G00", b"P0=0", b"M10000,1:00", b"X10000,1:x"])
def test_a_recording_is_not_written_to(loop: Session, packet: bytes) -> None:
    refused, after = talk(loop, packet, b"qC")
    assert refused.startswith(b"E.this is a recording: nothing can be written to it (")
    assert after == b"QC1"


@pytest.mark.parametrize(
    "packet",
    [b"m", b"mzz,1", b"m0", b"m1,2,3", b"p", b"pffff", b"H", b"Hx1", b"Hgp7.7", b"Hgp1.2", b"T9",
     b"Z0", b"Z0,zz,1", b"Z2,10,ffffffffffffffff", b"vCont;", b"vCont;x", b"vCont;c:p9.9",
     b"qRcmd,zz", b"qRcmd,1", b"D;9", b"D;",
     b"vKill;9", b"C0b", b"S05", b"vCont;C0b:p1.1", b"c1000",
     b"qXfer:features:read:x:0,9", b"qXfer:features:read:target.xml:0",
     b"qXfer:exec-file:read:9:0,9", b"qThreadExtraInfo,p9.9",
     b"qXfer:auxv:write::0:x"],
)  # fmt: skip
def test_malformed_packets_are_errors_and_no_more(loop: Session, packet: bytes) -> None:
    _, bad, after = talk(loop, HELLO, packet, b"?")
    assert bad.startswith(b"E"), bad
    assert after.startswith(b"T05")


# -- registers and memory -------------------------------------------------------------------------


@pytest.mark.parametrize("abi", sorted(DESCRIPTIONS))
def test_descriptions(abi: str) -> None:
    described = DESCRIPTIONS[abi]
    target = ElementTree.fromstring(described.xml)
    names = [reg.get("name") for reg in target.iter("reg")]
    assert names == [register.name for register in described.registers]
    assert len(set(names)) == len(names)
    known = {f"org.gnu.gdb.{name}" for name in (
        "i386.core", "i386.sse", "i386.linux", "i386.segments", "aarch64.core", "aarch64.fpu",
        "riscv.cpu", "riscv.fpu")}  # fmt: skip
    assert {feature.get("name") for feature in target.iter("feature")} <= known
    assert target.findtext("osabi") == "GNU/Linux"


def test_registers_are_those_of_the_session(loop: Session) -> None:
    described = DESCRIPTIONS["riscv64"]
    promised, _, whole, pc, sp, zero = talk(
        loop, b"g", b"qXfer:features:read:target.xml:0,4000", b"g",
        b"p%x" % described.number("pc"), b"p%x" % described.number("sp"), b"p0",
    )  # fmt: skip
    values = dict(loop.registers())
    assert int.from_bytes(bytes.fromhex(pc.decode()), "little") == values["pc"]
    assert int.from_bytes(bytes.fromhex(sp.decode()), "little") == values["sp"]
    assert zero == b"00" * 8
    assert len(whole) == sum(2 * r.bits // 8 for r in described.registers)
    assert whole.startswith(zero) and pc in whole
    # Who has not read which registers there are gets those that every RISC-V has.
    assert promised == whole[: 2 * 33 * 8]


def test_memory(loop: Session) -> None:
    pc = loop.pc
    code = loop.read(pc, 16)
    page = 0x11000  # the end of the only page of the program
    hexed, binary, short, none, probe = talk(
        loop, b"m%x,10" % pc, b"x%x,10" % pc, b"m%x,10" % (page - 4), b"m0,4", b"X0,0:"
    )
    assert bytes.fromhex(hexed.decode()) == code
    assert binary == b"b" + code
    assert short == b"00" * 4
    assert none == b"E14"
    assert probe == b"OK"
    (large,) = talk(loop, b"m10000,ffffff")
    assert len(large) <= PACKET_SIZE


# -- going ----------------------------------------------------------------------------------------


def test_stops_name_their_reason(loop: Session) -> None:
    store = 0x1010C
    replies = talk(
        loop, HELLO, b"?", b"vCont;s:p1.1", b"bs", b"bs", b"Z0,%x,4" % store, b"vCont;c", b"c",
        b"bc", b"z0,%x,4" % store, b"vCont;c:p1.-1", b"Z2,10808,4", b"bc", b"bc", b"z2,10808,4",
        b"Z4,10808,4", b"c", b"z4,10808,4", b"Z3,10808,4", b"c", b"bc",
    )  # fmt: skip
    reasons = [r.split(b"thread:p1.1;")[1] for r in replies if r.startswith(b"T05")]
    assert reasons == [
        b"", b"", b"", b"replaylog:begin;",  # at the start, a step, and back, and no further
        b"swbreak:;", b"swbreak:;", b"swbreak:;", b"replaylog:end;",
        b"watch:10808;", b"watch:10808;", b"awatch:10808;", b"replaylog:end;", b"replaylog:begin;",
    ]  # fmt: skip
    assert loop.executed == 0


def test_a_breakpoint_without_its_feature_is_a_plain_stop(loop: Session) -> None:
    *_, stop = talk(loop, b"qSupported", b"Z0,1010c,4", b"c")
    assert stop.endswith(b"thread:1;")


def test_processes_stand_where_they_were_left(embedded: Session) -> None:
    embedded.go("3@0")
    hello, fork, info, chosen, child, stepped, back, parent, gone, last = talk(
        embedded, HELLO, b"vCont;c", b"qfThreadInfo", b"Hgp4.4", b"g", b"vCont;s:p4.4", b"Hgp3.3",
        b"qC", b"D;4", b"qfThreadInfo",
    )  # fmt: skip
    assert b"fork-events+" in hello
    assert fork.endswith(b"thread:p3.3;fork:p4.4;")
    assert info == b"mp3.3,p4.4"
    assert chosen == b"OK"
    assert child.startswith(b"00000000")  # eax: fork(2) returns 0 in the child
    assert stepped.endswith(b"thread:p4.4;")
    assert (back, parent, gone, last) == (b"OK", b"QCp3.3", b"OK", b"mp3.3")


def test_breakpoints_belong_to_a_process(embedded: Session) -> None:
    """gdb removes a child's before it lets go of it; the parent's stay."""
    embedded.go("3@0")
    embedded.step(3)
    before = embedded.pc
    embedded.go("3@0")
    replies = talk(
        embedded, HELLO, b"vCont;c:p3.3", b"Z0,%x,1" % before, b"bc", b"vCont;c:p3.3", b"Hgp4.0",
        b"z0,%x,1" % before, b"D;4", b"Hgp3.3", b"bc",
    )  # fmt: skip
    assert replies[3].endswith(b"swbreak:;")
    assert replies[-1].endswith(b"swbreak:;")
    assert embedded.executed == 3


def test_a_breakpoint_just_after_a_fork_counts(embedded: Session) -> None:
    embedded.go("3@0")
    embedded.cont(("fork",))
    after = embedded.pc
    embedded.go("3@0")
    replies = talk(embedded, HELLO, b"Z0,%x,1" % after, b"c", b"c", b"c")
    assert b"fork:p4.4;" in replies[2]
    assert replies[3].endswith(b"swbreak:;")
    assert b"fork:p5.5;" in replies[4]


def test_an_exec_names_its_program(embedded: Session) -> None:
    embedded.go("4.0@0")
    _, told_exec, file = talk(embedded, HELLO, b"c", b"qXfer:exec-file:read:4:0,100")
    assert told_exec.endswith(b"exec:" + b"/hex0".hex().encode() + b";")
    assert file == b"l/hex0"


def test_ctrl_c_ends_a_move(tmp_path: Path) -> None:
    loop = Program("i386").raw("b900127a00").raw("4975fd").exit(0)  # mov ecx, 8000000; dec; jnz
    with Session.open(str(record_image(tmp_path, loop.elf()))) as session:
        (stop, after) = talk(session, b"c", b"qC", meanwhile=[b"\x03"])
        assert stop.startswith(b"T02")
        assert after == b"QC1"
        assert 0 < session.executed < 16_000_000
        # What else comes meanwhile waits for its turn.
        stop, after = talk(session, b"c", meanwhile=[frame(b"qC")])
        assert stop.endswith(b"replaylog:end;")
        assert after == b"QC1"


def test_ctrl_c_outside_a_move_is_nothing(loop: Session) -> None:
    wire = Script(b"\x03\x03", frame(b"qC"))
    serve(loop, wire)
    assert wire.replies == [b"QC1"]


# -- the end, and anything at all -----------------------------------------------------------------


@pytest.mark.parametrize("packet", [b"D", b"k", b"D;1", b"vKill;1"])
def test_the_end(loop: Session, packet: bytes) -> None:
    assert len(talk(loop, packet, b"qC", b"qC")) == (0 if packet == b"k" else 1)


STARTS = [*PACKETS, b"qXfer:features:read:", b"qXfer:auxv:read:", b"vFile:open:", b"vFile:pread:",
          b"vFile:readlink:", b"q", b"Q", b"v"]  # fmt: skip
SENT = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda start, rest: start + rest,
        st.sampled_from(STARTS),
        st.one_of(
            st.binary(max_size=20),
            st.text("0123456789abcdef,;:p.-=", max_size=24).map(str.encode),
        ),
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    packets=st.lists(SENT, max_size=12),
    noise=st.binary(max_size=30),
    meanwhile=st.lists(st.binary(max_size=5), max_size=3),
)
def test_any_client_is_survived(
    loop_trace: Path, packets: list[bytes], noise: bytes, meanwhile: list[bytes]
) -> None:
    packets = [p for p in packets if not p.startswith((b"k", b"D", b"vKill"))]
    with Session.open(str(loop_trace)) as session:
        framed = [frame(escape(p)) for p in packets]
        wire = Script(*framed, noise, frame(b"?"), frame(b"?"), meanwhile=meanwhile)
        serve(session, wire)
        assert wire.replies[-1].startswith(b"T05")
        assert all(event.kind is not PacketKind.BAD for event in wire.events)


# -- addresses ------------------------------------------------------------------------------------


def test_addresses_to_listen_at() -> None:
    assert address_of("127.0.0.1:1234") == ("127.0.0.1", 1234)
    assert address_of(":0") == address_of("0") == ("127.0.0.1", 0)
    assert address_of("[::1]:80") == ("::1", 80)
    for wrong in ("", "x", "1.2.3.4:", "1.2.3.4:65536", "a:-1", "a:1x"):
        with pytest.raises(BadInput, match="name an address and a port"):
            address_of(wrong)
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org")))
