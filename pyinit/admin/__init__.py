"""The operator's surface: health, status, metrics, and a drain from outside."""
