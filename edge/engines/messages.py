"""What parent and worker say to each other over a SOCK_SEQPACKET pair: one packet, one message.

Loading is described in JSON, once. A frame is a fixed struct each way, since its latency counts.
"""

from __future__ import annotations

import struct

MAX_PACKET = 1 << 16

# Parent to worker. After the first packet (JSON, see `worker.Worker`), only these:
INFER = struct.Struct("<HHHxxI")  # variant index, input slot, output slot, ticket

# Worker to parent: a kind byte, then the body.
READY = b"R"  # JSON: library, version, load_ms, problems {variant id: reason}
REFUSED = b"X"  # JSON: error (class name in contract), message
DONE = b"D"  # TIMES
FAILED = b"F"  # TICKET, then a message in UTF-8
TIMES = struct.Struct("<IQQQQ")  # ticket, start, copied in, invoked, end
TICKET = struct.Struct("<I")
