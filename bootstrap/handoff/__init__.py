"""The way on from stage0: reads live-bootstrap and StageX, and gets what they need."""
