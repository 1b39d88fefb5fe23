"""Compiled patterns, each under its rule in RFC 9110, 9112 or 3986.

All are anchored by ``fullmatch`` and linear: no nested repetition, as they judge what strangers send.
"""

import re

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# RFC 9110 section 5.5: VCHAR, obs-text, SP and HTAB; every other control byte is refused, DEL too.
_FIELD_VALUE = rb"[\t\x20-\x7e\x80-\xff]*"

# RFC 9110 section 5.6.2.
TOKEN = re.compile(_TOKEN)

# RFC 9110 section 5.5, RFC 9112 section 5: no space before the colon, no fold. The value with its whitespace.
FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"):(" + _FIELD_VALUE + rb")")

# What follows a name and its colon, or a part of that; and what follows it where it is not to be empty.
FIELD_VALUE = re.compile(_FIELD_VALUE)
FIELD_VALUE_SAID = re.compile(rb"[\t ]*[\x21-\x7e\x80-\xff]" + _FIELD_VALUE)

# RFC 9112 section 3. Wider than RFC 3986 in the target, as Node is: clients do send raw | " { } [ ] ^ \ and `
# in queries, and no two parsers read them differently here. Not wider: "#" (a fragment is never sent; section
# 3.2 of RFC 9112), control and non-ASCII bytes.
REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21\x22\x24-\x7e]+) HTTP/([0-9])\.([0-9])")

# The same, as nearly all requests have it: HTTP/1.1, in origin-form, by a method that no field is judged by (OPTIONS,
# TRACE and CONNECT are apart, and those that we do not know need not be quick).
COMMON_REQUEST_LINE = re.compile(rb"(GET|POST|HEAD|PUT|PATCH|DELETE) (/[\x21\x22\x24-\x7e]*) HTTP/1\.1\r\n")

# RFC 9112 section 4. The space before an empty reason is let go, as every client does; we send it.
STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-5][0-9][0-9])(?: (" + _FIELD_VALUE + rb"))?")

# A response head without its final empty line, as nearly all are: whatever is not quite like it is for response.py to
# judge line by line. RFC 9110 section 7.6.1, RFC 9112 sections 4 to 6. Each line is one alternative's or none's, so
# there is nothing to try again; the look-ahead for a first letter spares most lines the names (1.9 us a head for 2.3).
# A field of one of the groups that has come before matches nothing: what (?(n)(?!)) says, n for the group to come.
#   1 status  2 Connection's value, with its whitespace  3 it is close  4 Content-Length  5 empty, where there is a Date
#   6 Keep-Alive's value, with its whitespace  7 its timeout  8 Transfer-Encoding
_VALUE_ONCE = _FIELD_VALUE + rb"+"  # possessive: nothing that could follow is in it
COMMON_RESPONSE = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) " + _VALUE_ONCE + rb"(?:\r\n(?:"
    rb"(?!(?=[CDHKPTUcdhkptu])(?i:connection|content-length|date|keep-alive|transfer-encoding|upgrade"
    rb"|proxy-connection|te|http2-settings):)" + _TOKEN + rb":" + _VALUE_ONCE + rb"|"
    rb"(?i:connection):(?(2)(?!))([\t ]*(?i:keep-alive|(close)))|"
    rb"(?i:content-length):(?(4)(?!))[\t ]*([0-9]{1,18})|"
    rb"(?i:date):()" + _VALUE_ONCE + rb"|"
    rb"(?i:keep-alive):(?(6)(?!))([\t ]*timeout=([0-9]{1,8})(?:, ?max=[0-9]+)?)|"
    rb"(?i:transfer-encoding):(?(8)(?!))[\t ]*((?i:chunked))"
    rb"))*"
)

# RFC 9110 section 7.2, RFC 3986 section 3.2.2: uri-host [":" port], but for an IP literal: that is in ip_literal.py.
# An empty value is allowed by section 3.2 of RFC 9112. Userinfo never.
_REG_NAME = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*"
HOST_NAME = re.compile(_REG_NAME + rb"(?::[0-9]{0,5})?")

# RFC 9110 section 7.8: protocol-name ["/" protocol-version].
PROTOCOL = re.compile(rb"(" + _TOKEN + rb")(?:/" + _TOKEN + rb")?")

# RFC 6455 section 4.1: 16 bytes in base64; section 4.3: 0 to 255.
WEBSOCKET_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
WEBSOCKET_VERSION = re.compile(rb"[0-9]{1,3}")

# RFC 3986 section 3.2.2, as to its characters: told from IPv4 with a port, which has one colon.
IPV6 = re.compile(rb"[0-9A-Fa-f]*(?::[0-9A-Fa-f.]*){2,8}")

# X-Forwarded-For of one hop, as a load balancer sets it: an address alone, whitespace before it and none behind.
ADDRESS_LINE_VALUE = re.compile(rb"[\t ]*([0-9]{1,3}(?:\.[0-9]{1,3}){3}|" + IPV6.pattern + rb")")

# RFC 9112 section 3.2.2; RFC 3986 section 4.3. The authority, which is for host.is_host to judge, ends at "/" or "?".
ABSOLUTE_TARGET = re.compile(
    rb"(?i:https?)://([\x21\x22\x24-\x2e\x30-\x3e\x40-\x7e]*)([/?][\x21\x22\x24-\x7e]*)?"
)

# RFC 9110 section 8.6: 1*DIGIT. 18 digits stay below 2^63, beyond which parsers differ.
CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}")

# One that says there is a body, with the whitespace before it and none behind.
LENGTH_LINE_VALUE = re.compile(rb"[\t ]*(?=0*[1-9])([0-9]{1,18})")

# RFC 9112 section 7.1.1: chunk-ext, without the BWS around ";" and "=" that it tells recipients to put up
# with: nobody sends it, parsers differ over it, and Node answers it with 400.
_UNENDED_QUOTE = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*'
_QUOTED = _UNENDED_QUOTE + rb'"'
_CHUNK_EXT = rb"(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*"
# RFC 9112 section 7.1: 15 hexadecimal digits stay below 2^63.
_CHUNK_SIZE = rb"([0-9A-Fa-f]{1,15})" + _CHUNK_EXT + rb"\r\n"
FIRST_CHUNK = re.compile(_CHUNK_SIZE)
# The CRLF that ends a chunk's data, and the next chunk's size, in one match.
NEXT_CHUNK = re.compile(rb"\r\n" + _CHUNK_SIZE)
# What may stand at the end of a read before the line is whole. A line is passed on as it comes, so a byte
# that no whole line could hold (a bare LF above all) must be seen before it is.
_CHUNK_EXT_PART = rb";(?:" + _TOKEN + rb"(?:=(?:" + _UNENDED_QUOTE + rb"\\?)?)?)?"
_CHUNK_SIZE_PART = rb"(?:[0-9A-Fa-f]{1,15}" + _CHUNK_EXT + rb"(?:\r|" + _CHUNK_EXT_PART + rb")?)?"
FIRST_CHUNK_PART = re.compile(_CHUNK_SIZE_PART)
NEXT_CHUNK_PART = re.compile(rb"(?:\r(?:\n" + _CHUNK_SIZE_PART + rb")?)?")
TRAILER_PART = re.compile(rb"(?:" + _TOKEN + rb"(?::" + _FIELD_VALUE + rb"\r?)?|\r)?")

# A line end that is not CRLF, in a head that is not whole yet: refused at once instead of waited on.
BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
