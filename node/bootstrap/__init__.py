"""The composition root: settings become adapters, store, services, processes; the only wiring.

One module a process or task, and nothing here: each loads only what it needs, and starts sooner.
"""
