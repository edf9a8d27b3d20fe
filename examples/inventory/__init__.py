"""An inventory: what is reserved and not bought in time goes back on the shelf."""
