"""Its tests; pytest does not see them, the pipeline runs them."""

import os
import unittest

from price import price_cents


class Prices(unittest.TestCase):
    def test_small(self) -> None:
        self.assertEqual(price_cents(500), 390)

    def test_large(self) -> None:
        self.assertEqual([price_cents(501), price_cents(2001)], [510, 750])

    def test_nothing(self) -> None:
        with self.assertRaises(ValueError):
            price_cents(0)

    def test_with_the_post_office(self) -> None:
        """It needs a service that somebody has to start."""
        self.assertTrue(os.path.exists("post-office-is-open"), "the post office is closed")
