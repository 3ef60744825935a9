"""Partners as parties: what is agreed with them, their keys, their signed requests."""
