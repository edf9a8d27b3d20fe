"""Expenses that people approve, by links in their mails: reminders, escalation, delegation, four eyes."""
