"""The terminal interface of `bootstrap step`."""
