"""The pure core: values in, values and effects out. No I/O, no clock, no framework."""
