"""The end of a frame is found whatever pieces the bytes come in, by the letter of RFC 6455 section 5.2."""

from __future__ import annotations

from haetae_edge.io.server.frames import FrameTracker, close_frame
from hypothesis import given
from hypothesis import strategies as st


def frame(opcode: int, size: int, *, masked: bool = False) -> bytes:
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes((0x80 | opcode, mask | size))
    elif size < 65_536:
        head = bytes((0x80 | opcode, mask | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, mask | 127)) + size.to_bytes(8, "big")
    return head + (b"mask" if masked else b"") + b"\x88" * size


FRAMES = st.lists(
    st.builds(
        frame,
        st.sampled_from([0, 1, 2, 9, 10]),
        st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536]) | st.integers(0, 300),
        masked=st.booleans(),
    ),
    max_size=6,
)


@given(FRAMES, st.lists(st.integers(0, 70_000), max_size=12))
def test_boundary_is_known_after_every_piece(frames: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frames)
    ends = {sum(map(len, frames[:count])) for count in range(len(frames) + 1)}
    tracker = FrameTracker()
    at = 0
    for cut in [*sorted(min(cut, len(stream)) for cut in cuts), len(stream)]:
        tracker.feed(stream[at:cut])
        at = cut
        assert tracker.at_boundary == (at in ends)
    assert tracker.at_boundary


@given(FRAMES)
def test_nothing_may_follow_a_close_frame(frames: list[bytes]) -> None:
    tracker = FrameTracker()
    tracker.feed(b"".join(frames) + frame(8, 2))
    assert not tracker.at_boundary


@given(st.binary(max_size=400))
def test_bytes_that_are_no_frames_do_not_trouble_it(noise: bytes) -> None:
    whole, single = FrameTracker(), FrameTracker()
    whole.feed(noise)
    for byte in noise:
        single.feed(bytes((byte,)))
    assert whole.at_boundary == single.at_boundary


def test_close_frame_is_short_enough_for_a_control_frame() -> None:
    assert close_frame(4401, b"x" * 500)[1] == 125
    assert close_frame(1008, b"") == b"\x88\x02\x03\xf0"
