"""Tests find the plugin also where Perdure is not installed."""

pytest_plugins = ["perdure.testing.plugin", "pytester", "tests.patterns.report"]
