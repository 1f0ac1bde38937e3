"""Runs live-bootstrap in a container: lays it out, starts each step, follows, checks, resumes."""
