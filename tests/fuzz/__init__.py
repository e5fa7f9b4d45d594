"""Every decoder that meets bytes of somebody else, fed with anything.

`test_decoders.py` does so with Hypothesis in the suite. `python -m tests.fuzz TARGET --seconds 60` does it
guided by coverage, with atheris (`python -m tests.fuzz --install` installs it into this environment). What
once found something lies in `corpus/TARGET/` and is tried by both.
"""
