"""Signed statements of what was verified, and a policy that counts who vouches for it."""
