"""The whole server below the network on a simulated clock, event loop, network and disk, from one seed.

See docs/SIMULATION.md.
"""
