"""What every test may use: real servers (`tests.rig`) and Hypothesis profiles."""

import os

import hypothesis

pytest_plugins = ["tests.rig"]

hypothesis.settings.register_profile("dev", max_examples=100, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=300, deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")  # noqa: TID251
