"""Orders that reserve stock, charge a card and book a carrier, and undo all that when one of them says no."""
