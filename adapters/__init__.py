"""The world outside: each module satisfies one port of `node.core.ports`."""
