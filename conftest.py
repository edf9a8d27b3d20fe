"""Tests find the plugin also where Perdure is not installed, and a busy machine is not taken for a deadlock."""

import os

pytest_plugins = ["perdure.testing.plugin", "pytester", "tests.patterns.report"]

# Else the SDK fails workflow tasks that have not yielded for two seconds, such as the first of a process, which has to
# load the sandbox.
os.environ.setdefault("TEMPORAL_DEBUG", "1")
