"""A marketing campaign: mails to many, so many at a time, paused, resumed and stopped by people."""
