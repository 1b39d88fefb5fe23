"""All fuzz targets. A new one is a module with a TARGET, named here."""

from tests.fuzz import body, forward_modes, proxy_header, request_stream, response_stream, websocket

TARGETS = {
    target.name: target
    for target in (
        request_stream.TARGET,
        body.TARGET,
        response_stream.TARGET,
        forward_modes.TARGET,
        proxy_header.TARGET,
        websocket.TARGET,
    )
}
