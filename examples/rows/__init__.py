"""Import of many rows from a file into a database, through crashes."""
