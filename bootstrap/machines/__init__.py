"""Machines without an operating system: a bare PC, UEFI firmware, the knight.

What a bootstrap makes on them shares no line of our system-call code with the core. A machine makes
no verdict: its products are held against known values (core.verdict.compare), and that is an
opinion. docs/machines.md.
"""
