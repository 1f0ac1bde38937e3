"""Checks a certificate with the standard library alone: docs/proof.md."""
