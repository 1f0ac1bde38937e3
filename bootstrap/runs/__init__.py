"""Runs: a step file rebuilt and judged, several at once, one program alone."""
