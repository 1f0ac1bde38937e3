"""An emulator and tracer for full-source bootstrapping."""

__version__ = "0.1.0"
