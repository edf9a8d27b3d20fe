"""Schedules: when workflows start by the clock. No I/O.

`ranges` and `spec` read what clients write, `calendar` and `jitter` say when, `overlap` what becomes of starts that
meet running workflows, `state` is what is stored, `rules` what inputs do to it, `shown` what clients see.
"""
