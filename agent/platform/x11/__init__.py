"""X11, through xcffib."""
