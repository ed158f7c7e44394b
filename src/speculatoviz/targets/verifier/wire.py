"""The frames between a verifier and its clients: MessagePack, one frame a WebSocket message.

Numbers of a kind travel as one field of bytes, little-endian: ids as int32, a q as its ids and uint16 counts of 2^-16
parts, alternatives as ids and float32 log-probabilities. Whatever decides (probabilities, uniforms) travels as
float64, so both sides hold the same bits.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from speculatoviz.core.types import Rule, Status
from speculatoviz.errors import SpeculatoVizError

VERSION = 3
PATH = "/verify"


class WireError(SpeculatoVizError):
    """A frame that is not what the protocol says."""

    code = "frame"


class Frame(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Every frame. `number` pairs a request with its answers; what nobody asked for has number 0."""

    number: int


# ---- what a client sends ----------------------------------------------------------------------------


class Hello(Frame, frozen=True):
    """The first frame. fingerprint: of the vocabulary the client counts on; None where it takes any."""

    version: int
    fingerprint: str | None = None


class Open(Frame, frozen=True):
    """Begin a session, or go on with it: what the server still holds of the prompt is not computed again.

    session: a secret of the client's choice, 16 bytes. prompt: every committed id.
    """

    session: bytes
    prompt: bytes
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    seed: int
    evidence: bool
    rule: Rule = "token"


class Submit(Frame, frozen=True):
    """Verify a draft behind `committed` ids. parents: None for a chain. q: per node (ids, counts), None for a point."""

    round: int
    committed: int
    tokens: bytes
    parents: bytes | None
    q: list[tuple[bytes, bytes] | None]


class Plain(Frame, frozen=True):
    """Decode `tokens` ids without drafts, each sent as soon as it is there."""

    tokens: int


class Encode(Frame, frozen=True):
    """The ids of a text as `Tokenizer.encode` gives them."""

    text: str
    special: bool


class EncodeChat(Frame, frozen=True):
    """The ids of a conversation, given as (role, content) turns, in the model's chat template."""

    turns: list[tuple[str, str]]


class AskVocabulary(Frame, frozen=True):
    pass


class Bye(Frame, frozen=True):
    """The session is over; its memory can go to another."""


ClientFrame = Hello | Open | Submit | Plain | Encode | EncodeChat | AskVocabulary | Bye

# ---- what a verifier answers ------------------------------------------------------------------------


class Limit(msgspec.Struct, frozen=True, array_like=True):
    """What one client may ask of a verifier."""

    context_tokens: int
    draft_tokens: int
    frame_bytes: int
    sessions: int
    frames_per_s: float
    idle_s: float


class Welcome(Frame, frozen=True):
    """The answer to a hello. beginning: the ids before a raw text (`Tokenizer.beginning`)."""

    version: int
    name: str
    runtime: str
    quantisation: str
    parameters: int | None
    size_bytes: int | None
    computes_on: str
    n_vocab: int
    fingerprint: str
    eos: bytes
    has_chat_template: bool
    limit: Limit
    noise: tuple[float, float, float, int, int, int] | None
    trees: bool = False
    beginning: bytes = b""


class Opened(Frame, frozen=True):
    """held: ids of the prompt that were still in the cache."""

    held: int


class WireScores(msgspec.Struct, frozen=True, array_like=True):
    logprob: float | None
    entropy: float | None
    ids: bytes
    logprobs: bytes


class WireCheck(msgspec.Struct, frozen=True, array_like=True):
    """accepted: None for what was tested and then discarded."""

    node: int
    accepted: bool | None
    target_prob: float | None
    draft_prob: float | None
    acceptance_prob: float | None
    uniform: float | None
    scores: WireScores | None


class Judged(Frame, frozen=True):
    """The verdict. server_ms: from the arrival of the draft to this answer."""

    round: int
    path: bytes
    checks: list[WireCheck]
    token: int
    status: Status
    target_prob: float | None
    scores: WireScores | None
    residual: tuple[bytes, bytes]
    evidence_ms: float
    server_ms: float


class Token(Frame, frozen=True):
    token: int


class Ids(Frame, frozen=True):
    ids: bytes


class Vocabulary(Frame, frozen=True):
    """Used ids, ascending; their pieces, joined; the pieces' lengths as int32; one byte each for is-control."""

    ids: bytes
    pieces: bytes
    lengths: bytes
    control: bytes


class Finished(Frame, frozen=True):
    """The end of a stream, and the answer to what needs no other. server_ms: what it took."""

    server_ms: float


class Refused(Frame, frozen=True):
    """An error in words; the connection lives on unless `final`."""

    code: str
    message: str
    hint: str
    final: bool


ServerFrame = Welcome | Opened | Judged | Token | Ids | Vocabulary | Finished | Refused

_ENCODER = msgspec.msgpack.Encoder()
_CLIENT: msgspec.msgpack.Decoder[ClientFrame] = msgspec.msgpack.Decoder(ClientFrame)
_SERVER: msgspec.msgpack.Decoder[ServerFrame] = msgspec.msgpack.Decoder(ServerFrame)
_T = TypeVar("_T")
F = TypeVar("F", bound=Frame)


def numbered(frame: F, number: int) -> F:
    """The same frame with another number."""
    return msgspec.structs.replace(frame, number=number)


def encode(frame: Frame) -> bytes:
    return _ENCODER.encode(frame)


def client_frame(raw: bytes) -> ClientFrame:
    """Raises WireError."""
    return _decoded(_CLIENT, raw)


def server_frame(raw: bytes) -> ServerFrame:
    """Raises WireError."""
    return _decoded(_SERVER, raw)


def _decoded(decoder: msgspec.msgpack.Decoder[_T], raw: bytes) -> _T:
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # text that is none; a nest without end
        raise WireError(
            f"A frame of {len(raw)} bytes cannot be read ({error}).",
            "Use the same version of SpeculatoViz on both sides.",
        ) from error
