"""Conversations over gRPC with Perdure and with the reference, compared event by event.

- `scenarios/`: one file a family, one coroutine a conversation; `TABLE` in a file holds those made from data.
- `golden/`: what the reference answered, with `SETTINGS.json` for its version and settings.
- `python -m tests.conformance.record --reference HOST:PORT [NAME ...]` records; `-m tests.conformance.coverage` counts.
- `pytest tests/conformance` compares Perdure with the goldens; `PERDURE=HOST:PORT` names a server that runs already,
  `REFERENCE=HOST:PORT` also checks the goldens against a running reference.
- `differences.py`: the differences that stand, each with its reason.
"""
