"""An IP literal as a Host has it: RFC 3986 section 3.2.2. Compiling it takes as long as all other patterns together."""

import re

_H16 = rb"[0-9A-Fa-f]{1,4}"
_DEC_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LS32 = rb"(?:" + _H16 + rb":" + _H16 + rb"|" + _DEC_OCTET + rb"(?:\." + _DEC_OCTET + rb"){3})"
_IPV6 = b"|".join(
    [
        rb"(?:" + _H16 + rb":){6}" + _LS32,
        rb"::(?:" + _H16 + rb":){5}" + _LS32,
        # What is left of "::" takes the place of as many groups on its right.
        *(
            rb"(?:(?:%b:){0,%d}%b)?::(?:%b:){%d}%b" % (_H16, left, _H16, _H16, 4 - left, _LS32)
            for left in range(5)
        ),
        rb"(?:(?:" + _H16 + rb":){0,5}" + _H16 + rb")?::" + _H16,
        rb"(?:(?:" + _H16 + rb":){0,6}" + _H16 + rb")?::",
    ]
)
# Without IPvFuture, of which there is none, and without a zone: that is the client's own (RFC 9844).
_IP_LITERAL = rb"\[(?:" + _IPV6 + rb")\]"

# Anchored by ``fullmatch``, as in abnf.py. With its port.
HOST_LITERAL = re.compile(_IP_LITERAL + rb"(?::[0-9]{0,5})?")
