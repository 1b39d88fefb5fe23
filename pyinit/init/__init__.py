"""Being PID 1: signals, spawning, reaping."""
