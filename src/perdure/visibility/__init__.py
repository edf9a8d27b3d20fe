"""Listings: the query language of list filters, its checker, and its compilation to SQL."""
