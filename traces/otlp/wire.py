"""Requests and answers of OTLP over HTTP as bytes, in either of its encodings."""

import base64
import string
import zlib
from typing import Any, Final

from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from pydantic_core import from_json, to_json

from traces.wellformed import mended

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
MAX_BYTES = 4 * 1024 * 1024  # of a request as it arrives
MAX_UNPACKED = 16 * 1024 * 1024  # of what was packed in it
MAX_SPANS = 10_000  # of a request
_NO_ID = b"\x00"  # in place of an id that is none: of no right length, so that its span is refused and the others not


class Refused(Exception):
    """This request can't be read as a whole. `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def read(data: bytes, *, content_type: str, encoding: str = "") -> ExportTraceServiceRequest:
    """The request in `data`. Raises Refused."""
    if content_type not in (PROTOBUF, JSON):
        raise Refused(
            415, f"Send spans as {PROTOBUF} or {JSON}, not {content_type or 'without a content type'}."
        )
    plain = unpacked(data, encoding)
    request = _from_protobuf(plain) if content_type == PROTOBUF else _from_json(plain)
    count = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
    if count > MAX_SPANS:
        raise Refused(413, f"{count:,} spans are too many for one request: send at most {MAX_SPANS:,}.")
    return request


def unpacked(data: bytes, encoding: str) -> bytes:
    """What was packed; never more of it than is allowed. Raises Refused."""
    if len(data) > MAX_BYTES:
        raise Refused(413, f"The body is larger than {MAX_BYTES >> 20} MB: send fewer spans in one request.")
    if encoding in ("", "identity"):
        return data
    if encoding != "gzip":
        raise Refused(415, f"The content encoding {encoding!r} is not known: use gzip, or none.")
    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        plain = unpacking.decompress(data, MAX_UNPACKED + 1)
    except zlib.error as error:
        raise Refused(400, f"The body is not gzip: {error}.") from error
    if len(plain) > MAX_UNPACKED:
        raise Refused(413, f"The body is larger than {MAX_UNPACKED >> 20} MB when it is unpacked.")
    if not unpacking.eof or unpacking.unused_data:
        raise Refused(400, "The body is not one whole gzip member.")
    return plain


def answer(content_type: str, *, rejected: int = 0, message: str = "") -> bytes:
    """What a request that was taken is answered; `rejected` of its spans were not."""
    response = ExportTraceServiceResponse()
    if rejected or message:
        response.partial_success.rejected_spans = rejected
        response.partial_success.error_message = message
    return _written(response, content_type)


def refusal(content_type: str, *, code: int, message: str) -> bytes:
    """A google.rpc.Status; `code` is gRPC's."""
    if content_type == JSON:
        return to_json({"code": code, "message": message})
    # On the wire the same as a google.rpc.Status: a number as field 1, a text as field 2.
    return ExportTracePartialSuccess(rejected_spans=code, error_message=message).SerializeToString()


def _written(message: Message, content_type: str) -> bytes:
    return MessageToJson(message).encode() if content_type == JSON else message.SerializeToString()


def _from_protobuf(data: bytes) -> ExportTraceServiceRequest:
    try:
        return ExportTraceServiceRequest.FromString(data)
    except DecodeError as error:
        raise Refused(400, "The body is no ExportTraceServiceRequest in protobuf.") from error


def _from_json(data: bytes) -> ExportTraceServiceRequest:
    try:
        document = from_json(mended(data))
    except ValueError as error:
        raise Refused(400, f"The body is not JSON: {error}.") from error
    try:
        for resource in document.get("resourceSpans") or ():
            for scope in resource.get("scopeSpans") or ():
                for span in scope.get("spans") or ():
                    _mend_ids(span)
                    for link in span.get("links") or ():
                        _mend_ids(link)
        return ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise Refused(400, "The body is no ExportTraceServiceRequest in JSON.") from error


def _mend_ids(holder: dict[str, Any]) -> None:
    """OTLP writes ids in hex where protobuf's JSON has base64."""
    for name in ("traceId", "spanId", "parentSpanId"):
        if (text := holder.get(name)) not in (None, ""):
            holder[name] = base64.b64encode(_from_hex(text)).decode()


def _from_hex(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) % 2 or not set(text) <= set(string.hexdigits):
        return _NO_ID
    return bytes.fromhex(text)
