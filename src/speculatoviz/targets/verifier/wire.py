"""The frames between a verifier and its clients: MessagePack, one frame for each WebSocket message.

Arrays are fields of bytes, little-endian: ids as int32; a q as its ids and, for each, a uint16 count c with probability
(c + 1) / 2^16; alternatives as ids and float32 log-probabilities. Probabilities and random numbers that decide are
float64, so both sides have the same bits.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from speculatoviz.core.types import Rule, Status
from speculatoviz.errors import SpeculatoVizError, reason_of

VERSION = 5
PATH = "/verify"


class WireError(SpeculatoVizError):
    """A frame that does not follow the protocol."""

    code = "frame"


class Frame(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A frame. number: of the request, repeated in its answers; 0 for a frame that answers no request."""

    number: int


# ---- what a client sends ----------------------------------------------------------------------------


class Hello(Frame, frozen=True):
    """The first frame. fingerprint: of the vocabulary that the client expects; None for any."""

    version: int
    fingerprint: str | None = None


class WirePenalties(msgspec.Struct, frozen=True, array_like=True):
    """`core.types.Penalties`. bias: of b ids, int32[b] and float64[b]."""

    presence: float
    frequency: float
    repetition: float
    last_n: int | None
    bias: tuple[bytes, bytes]


class Open(Frame, frozen=True):
    """Begin a session or resume it. The verifier computes only the ids that its cache no longer holds.

    session: 16 secret bytes that the client chose. prompt: all committed ids. output_from: the index in them at which
    the output begins. penalties: None if no logit changes. vocabulary int32[K]: see `Submit`. The other fields as in
    `Request`.
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
    certainty: bool = False
    output_from: int | None = None
    penalties: WirePenalties | None = None
    vocabulary: bytes | None = None


class Submit(Frame, frozen=True):
    """Verify a draft of n tokens. committed: the number of committed ids before it.

    tokens int32[n]. parents int32[n]; None for a chain. q: of each token (ids, counts); None for a point mass. For
    evidence (`core.types.DraftEvidence`): own: of each token (ids, float64 probabilities) or None, empty if all are
    None; vocabulary int32[K], ascending: the ids that the drafter can propose, None if they are those of the frame
    before; limited uint8[n]: 1 for a token whose drafter has that vocabulary, empty if none has.
    """

    round: int
    committed: int
    tokens: bytes
    parents: bytes | None
    q: list[tuple[bytes, bytes] | None]
    own: list[tuple[bytes, bytes] | None] = []
    vocabulary: bytes | None = None
    limited: bytes = b""


class Plain(Frame, frozen=True):
    """Decode `tokens` ids without drafts. Each is answered by a `Token` at once, the last one by `Finished`."""

    tokens: int


class Encode(Frame, frozen=True):
    """The ids of a text as `Tokenizer.encode` gives them."""

    text: str
    special: bool


class EncodeChat(Frame, frozen=True):
    """The ids of a conversation, given as (role, content) turns, in the model's chat template."""

    turns: list[tuple[str, str]]


class AskVocabulary(Frame, frozen=True):
    """Ask for the vocabulary."""


class Bye(Frame, frozen=True):
    """End the session and free its cache."""


ClientFrame = Hello | Open | Submit | Plain | Encode | EncodeChat | AskVocabulary | Bye

# ---- what a verifier answers ------------------------------------------------------------------------


class Limit(msgspec.Struct, frozen=True, array_like=True):
    """What one client may ask of a verifier.

    context_tokens: of a session. draft_tokens: of a draft. frame_bytes: of a frame. sessions: of all clients together.
    frames_per_s: of a connection. idle_s: seconds until an unused session is closed.
    """

    context_tokens: int
    draft_tokens: int
    frame_bytes: int
    sessions: int
    frames_per_s: float
    idle_s: float


class Welcome(Frame, frozen=True):
    """The answer to a hello: the verifier's version, model, vocabulary and limits.

    n_vocab: output rows of the model. eos: ids that end a text. noise: the fields of `measure.noise.Noise`; None if it
    was not measured. trees: whether a draft may branch. beginning: the ids before a raw text (`Tokenizer.beginning`).
    """

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
    """The session is open. held: the number of prompt ids that the cache still held."""

    held: int


class WireScores(msgspec.Struct, frozen=True, array_like=True):
    """`core.types.Scores`; ids and logprobs are its alternatives."""

    logprob: float | None
    entropy: float | None
    ids: bytes
    logprobs: bytes


class WireCompared(msgspec.Struct, frozen=True, array_like=True):
    """`core.rounds.Compared` of c tokens: ids int32[c], p and q float64[c]. q: None if the rule reads none."""

    ids: bytes
    p: bytes
    q: bytes | None


class WireOverlap(msgspec.Struct, frozen=True, array_like=True):
    """`core.rounds.Overlap`."""

    reach: float
    accepted: float
    shared: float
    uncovered: float
    filtered: float


class WireCheck(msgspec.Struct, frozen=True, array_like=True):
    """`core.rounds.Check`. accepted: None for a node that was tested and then discarded."""

    node: int
    accepted: bool | None
    target_prob: float | None
    draft_prob: float | None
    acceptance_prob: float | None
    uniform: float | None
    scores: WireScores | None
    compared: WireCompared | None = None
    overlap: WireOverlap | None = None


class Judged(Frame, frozen=True):
    """The verdict on a draft. path: the accepted nodes. token to residual, and compared: of the extra token.

    server_ms: from the arrival of the draft to this answer. certainty: as in `Verdict`.
    """

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
    certainty: float | None = None
    compared: WireCompared | None = None


class Token(Frame, frozen=True):
    """One id of a plain decoding."""

    token: int


class Ids(Frame, frozen=True):
    """The ids of a text or a conversation."""

    ids: bytes


class Vocabulary(Frame, frozen=True):
    """A vocabulary of u used ids.

    ids int32[u], ascending. pieces: the bytes of all tokens, joined. lengths int32[u]: of the pieces. control uint8[u]:
    1 for a control token.
    """

    ids: bytes
    pieces: bytes
    lengths: bytes
    control: bytes


class Finished(Frame, frozen=True):
    """The end of a plain decoding, and the answer to a goodbye. server_ms: the time since the request arrived."""

    server_ms: float


class Refused(Frame, frozen=True):
    """An error in words. final: the verifier closes the connection."""

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
    """The bytes of a frame."""
    return _ENCODER.encode(frame)


def client_frame(raw: bytes) -> ClientFrame:
    """The client's frame in these bytes. Raises WireError."""
    return _decoded(_CLIENT, raw)


def server_frame(raw: bytes) -> ServerFrame:
    """The verifier's frame in these bytes. Raises WireError."""
    return _decoded(_SERVER, raw)


def _decoded(decoder: msgspec.msgpack.Decoder[_T], raw: bytes) -> _T:
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # text that is not UTF-8; endless nesting
        raise WireError(
            f"A frame of {len(raw)} bytes cannot be read ({reason_of(error)}).",
            "Use the same version of SpeculatoViz on both sides.",
        ) from error
