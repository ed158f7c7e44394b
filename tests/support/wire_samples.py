"""A sample of every frame of the verifier's protocol."""

from __future__ import annotations

from typing import get_args

import numpy as np

from speculatoviz.targets.verifier import wire
from speculatoviz.targets.verifier.arrays import pack

WELCOME_LIMIT = wire.Limit(4096, 32, 1 << 20, 4, 200.0, 600.0)
SCORES = wire.WireScores(-0.5, 1.25, pack([3, 4]), np.array([-0.5, -1.5], "<f4").tobytes())
CHECK = wire.WireCheck(0, True, 0.25, 0.5, 0.5, 0.125, SCORES)
SAMPLES: list[wire.Frame] = [
    wire.Hello(1, wire.VERSION, "0123456789abcdef"),
    wire.Open(2, bytes(16), pack([1, 2, 3]), 0.7, 40, 0.9, 0.1, 5, True),
    wire.Submit(3, 9, 3, pack([4, 5]), None, [(pack([4, 5]), b"\0\0\xfe\xff"), None]),
    wire.Plain(4, 16),
    wire.Encode(5, "text ✓", True),
    wire.EncodeChat(6, [("user", "hello")]),
    wire.AskVocabulary(7),
    wire.Bye(8),
    wire.Welcome(1, 1, "m", "toy", "F64", None, 7, "CPU", 5, "f", pack([4]), True, WELCOME_LIMIT, (0, 0, 1, 9, 512, 5)),
    wire.Opened(2, 3),
    wire.Judged(3, 9, pack([0]), [CHECK], 7, "bonus", 0.5, SCORES, (b"", b""), 0.1, 2.0),
    wire.Token(4, 17),
    wire.Ids(5, pack([1])),
    wire.Vocabulary(7, pack([0]), b"a", pack([1]), b"\0"),
    wire.Finished(8, 1.5),
    wire.Refused(9, "busy", "Full.", "Wait.", True),
]
ASKED = [frame for frame in SAMPLES if isinstance(frame, get_args(wire.ClientFrame))]
SENT = [frame for frame in SAMPLES if isinstance(frame, get_args(wire.ServerFrame))]
