"""Make `orders.jsonl`: python -m examples.orders.make_orders [--orders N] [--seed N] > orders.jsonl"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from examples.orders.orderfile import Ending
from examples.orders.stores import CARDS_DECLINED, COUNTRIES_SERVED, HEAVIEST_PARCEL_G

CATALOGUE = [  # item, name, price in cents, grams
    ("MUG-BLUE", "Mug, blue", 1290, 420),
    ("MUG-WHITE", "Mug, white", 1190, 420),
    ("TEAPOT-1L", "Teapot, 1 litre", 3950, 1100),
    ("TOWEL-LINEN", "Kitchen towel, linen", 1480, 180),
    ("BOARD-OAK", "Cutting board, oak", 4600, 2300),
    ("KNIFE-CHEF", "Chef's knife, 20 cm", 8900, 310),
    ("PAN-IRON-28", "Pan, cast iron, 28 cm", 7490, 2900),
    ("LAMP-DESK", "Desk lamp", 6900, 1750),
    ("CHAIR-FOLD", "Folding chair", 5900, 4300),
    ("CLOCK-WALL", "Wall clock", 4350, 900),
]
SOLD_OUT = [("BOWL-RAKU", "Raku bowl", 5400, 650), ("TRAY-BRASS", "Brass tray", 7200, 1400)]
ANVIL = ("ANVIL-40", "Anvil, 40 kg", 28900, 40_000)
PEOPLE = "ana ben chiara dario emil fatou grace hugo ines jonas kofi lena marco nora oskar petra quentin rosa sami tove"
DOMAINS = ["example.com", "example.org", "example.net"]
CARDS_GOOD = ["4242424242424242", "5555555555554444", "378282246310005", "6011111111111117"]
COUNTRIES_FAR = ["AQ", "GS", "PN"]
ENDINGS = [  # in every hundred orders
    (Ending.COMPLETED, 70),
    (Ending.PAYMENT_DECLINED, 10),
    (Ending.OUT_OF_STOCK, 10),
    (Ending.CARRIER_REFUSED, 10),
]


def make_orders(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the records of a file of `count` orders: the items first, each with stock for what is asked of it."""
    chance = random.Random(seed)
    shares = [ending for ending, share in ENDINGS for _ in range(share)]
    endings = [shares[number * 100 // count] for number in range(count)]
    chance.shuffle(endings)
    orders = [_order(f"O-{1001 + number}", ending, chance) for number, ending in enumerate(endings)]
    asked = Counter[str]()
    for order in orders:
        asked[order["item"]] += order["quantity"]
    for item, name, _, weight_g in [*CATALOGUE, ANVIL]:
        yield {"item": item, "name": name, "stock": asked[item] + chance.randint(0, 40), "weight_g": weight_g}
    for item, name, _, weight_g in SOLD_OUT:
        yield {"item": item, "name": name, "stock": 0, "weight_g": weight_g}
    yield from orders


def _order(name: str, expect: Ending, chance: random.Random) -> dict[str, Any]:
    catalogue, card, country = CATALOGUE, chance.choice(CARDS_GOOD), chance.choice(COUNTRIES_SERVED)
    if expect is Ending.OUT_OF_STOCK:
        catalogue = SOLD_OUT
    elif expect is Ending.PAYMENT_DECLINED:
        card = chance.choice(CARDS_DECLINED)
    elif expect is Ending.CARRIER_REFUSED and chance.random() < 0.5:
        catalogue = [ANVIL]
    elif expect is Ending.CARRIER_REFUSED:
        country = chance.choice(COUNTRIES_FAR)
    item, _, price_cents, weight_g = chance.choice(catalogue)
    quantity = min(chance.choice([1, 1, 1, 2, 2, 3, 4]), max(1, HEAVIEST_PARCEL_G // weight_g))
    return {
        "order": name,
        "customer": f"{chance.choice(PEOPLE.split())}.{chance.choice('bdfgklmrsv')}@{chance.choice(DOMAINS)}",
        "item": item,
        "quantity": quantity,
        "amount_cents": price_cents * quantity,
        "card": card,
        "country": country,
        "expect": expect,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a file of orders for the demo, on standard output.")
    parser.add_argument("--orders", type=int, default=240, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="the same seed makes the same file (default: %(default)s)")
    args = parser.parse_args()
    if args.orders < 1:
        parser.error("--orders has to be at least 1")
    for record in make_orders(args.orders, args.seed):
        sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
