"""HTTP to the outside that others chose."""
