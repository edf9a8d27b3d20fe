"""Perdure and the reference server side by side: conversations, programs of three SDKs, and time.

`python -m parity --reference HOST:PORT`, or `make parity REFERENCE=HOST:PORT`; see README.md in this folder.
"""
