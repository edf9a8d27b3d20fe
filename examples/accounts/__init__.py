"""Transfers between accounts: money is conserved at every moment, whatever fails when."""
