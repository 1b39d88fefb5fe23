"""Sans-IO HTTP/1.1 for a proxy: frames messages, never decodes bodies."""
