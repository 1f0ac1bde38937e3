"""The core: the one part of this program that decides. Everything else only proposes."""
