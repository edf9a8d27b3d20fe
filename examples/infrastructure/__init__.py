"""Infrastructure: what a plan asks for is built layer by layer, watched until it runs, and torn down if it does not."""
