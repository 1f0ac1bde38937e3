"""Who says so? Independent opinions on every artifact of a release, counted. It runs nothing."""
