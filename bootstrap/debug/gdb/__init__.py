"""A server of gdb's remote serial protocol on a session: gdb travels in a recorded run."""
