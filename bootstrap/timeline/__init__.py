"""Any instruction of a trace, both ways; and where its bytes come from."""
