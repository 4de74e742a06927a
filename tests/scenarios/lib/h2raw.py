# SPDX-License-Identifier: MIT
"""HTTP/2 frames by hand, for what a well-behaved client cannot send. Frames: hyperframe, header blocks: hpack."""
import socket
import struct

from hpack import Decoder, Encoder
from hyperframe.frame import (ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame,
                              RstStreamFrame, SettingsFrame, WindowUpdateFrame)

from .story import Failed, true

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def prefixed(message, compressed=0):
    return struct.pack(">BI", compressed, len(message)) + message


class Stream:
    def __init__(self):
        self.blocks, self.data, self.ended, self.reset = [], b"", False, None

    @property
    def headers(self):
        return dict(self.blocks[0]) if self.blocks else {}

    @property
    def trailers(self):
        return dict(self.blocks[-1]) if self.blocks else {}

    @property
    def status(self):
        return int(self.trailers.get("grpc-status", "-1"))

    def messages(self):
        out, rest = [], self.data
        while rest:
            flag, n = struct.unpack(">BI", rest[:5])
            true(flag == 0, "a compressed answer that nobody asked for")
            out.append(rest[5:5 + n])
            rest = rest[5 + n:]
        return out


class RawH2:
    """One connection; streams are numbered 1, 3, ... by open()."""

    def __init__(self, port, settings=None, timeout=60, sock=None):
        self.sock = sock or socket.create_connection(("127.0.0.1", port))
        if not sock:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(timeout)
        self.port, self.encoder, self.decoder = port, Encoder(), Decoder()
        self.streams, self.next_id, self.settings, self.goaway = {}, 1, {}, None
        self.buffer, self.half = b"", None
        self.sock.sendall(PREFACE)
        self.frame(SettingsFrame(0, settings=settings or {}))
        self.frame(WindowUpdateFrame(0, window_increment=(1 << 30)))

    def frame(self, frame):
        self.sock.sendall(frame.serialize())

    def headers(self, path, extra=(), content_type="application/grpc", method="POST", te="trailers"):
        block = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "127.0.0.1:%d" % self.port)]
        block += [("content-type", content_type)] if content_type else []
        block += [("te", te)] if te else []
        return block + list(extra)

    def open(self, block, end=False, pieces=1):
        """Sends a header block, cut into `pieces` frames (HEADERS, CONTINUATION, ...); returns the stream's id."""
        sid, self.next_id = self.next_id, self.next_id + 2
        data = self.encoder.encode(block, huffman=False)
        size = max(1, -(-len(data) // pieces))
        size = min(size, 16384)
        cuts = [data[i:i + size] for i in range(0, len(data), size)]
        self.streams[sid] = Stream()
        for i, cut in enumerate(cuts):
            f = HeadersFrame(sid, cut) if i == 0 else ContinuationFrame(sid, cut)
            if i == len(cuts) - 1:
                f.flags.add("END_HEADERS")
            if i == 0 and end:
                f.flags.add("END_STREAM")
            self.frame(f)
        return sid

    def data(self, sid, data, end=False, size=16384):
        """In DATA frames of at most `size` bytes."""
        cuts = [data[i:i + size] for i in range(0, len(data), size)] or [b""]
        for i, cut in enumerate(cuts):
            f = DataFrame(sid, cut)
            if end and i == len(cuts) - 1:
                f.flags.add("END_STREAM")
            self.frame(f)

    def reset(self, sid, code=8):
        self.frame(RstStreamFrame(sid, error_code=code))

    def read_frame(self):
        """The next frame, or None when the connection was closed."""
        while True:
            if len(self.buffer) >= 9:
                frame, length = Frame.parse_frame_header(memoryview(self.buffer[:9]))
                if len(self.buffer) >= 9 + length:
                    frame.parse_body(memoryview(self.buffer[9:9 + length]))
                    self.buffer = self.buffer[9 + length:]
                    return frame
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self.buffer += more

    def step(self):
        """Takes one frame in; False when the connection was closed."""
        f = self.read_frame()
        if f is None:
            return False
        s = self.streams.get(f.stream_id)
        if isinstance(f, SettingsFrame) and "ACK" not in f.flags:
            self.settings.update(f.settings)
            self.frame(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(f, PingFrame) and "ACK" not in f.flags:
            self.frame(PingFrame(0, opaque_data=f.opaque_data, flags=["ACK"]))
        elif isinstance(f, GoAwayFrame):
            self.goaway = f
        elif isinstance(f, (HeadersFrame, ContinuationFrame)) and s:
            self.half = (self.half or b"") + f.data
            if "END_HEADERS" in f.flags:
                s.blocks.append([(k, v) for k, v in self.decoder.decode(self.half)])
                self.half = None
            s.ended |= "END_STREAM" in f.flags
        elif isinstance(f, DataFrame) and s:
            s.data += f.data
            s.ended |= "END_STREAM" in f.flags
            if f.flow_controlled_length and not s.ended:
                self.frame(WindowUpdateFrame(f.stream_id, window_increment=f.flow_controlled_length))
        elif isinstance(f, RstStreamFrame) and s:
            s.reset, s.ended = f.error_code, True
        return True

    def finish(self, sid):
        """Reads until the stream has ended."""
        s = self.streams[sid]
        while not s.ended:
            if not self.step():
                raise Failed("the connection was closed before stream %d ended (%s)" % (sid, self.goaway))
        return s

    def until_closed(self):
        while self.step():
            pass
        return self

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
