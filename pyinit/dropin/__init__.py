"""Other inits by their own names: their command lines, messages and exit codes."""
