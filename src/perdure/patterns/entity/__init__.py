"""Entities: `Entity` and what its classes are made of. See `perdure.patterns.entity.entity`."""

from perdure.patterns.entity.client import DeadLetter
from perdure.patterns.entity.entity import Entity
from perdure.patterns.entity.handlers import check, query, signal, update, upgrade
from perdure.patterns.entity.plan import Limits

__all__ = ["DeadLetter", "Entity", "Limits", "check", "query", "signal", "update", "upgrade"]
