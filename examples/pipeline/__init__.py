"""A pipeline: a small project is checked, built and deployed by real processes, with a person before production."""
