"""An emulator and tracer for full-source bootstrapping."""

__version__ = "0.2.0"
