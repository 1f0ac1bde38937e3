"""What a hex0 seed does for every input: all its states are walked, and a checker checks the walk.

docs/proof.md explains it. `proving` walks and proposes a certificate; `check`, which shares nothing
with that, decides what is proven.
"""
