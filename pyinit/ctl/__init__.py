"""pyinitctl, the operator's command; standard library alone."""
