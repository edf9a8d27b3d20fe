"""The project that the pipeline builds: what a parcel costs."""

import sys


def price_cents(weight_g: int) -> int:
    """By weight: 390 up to 500 g, then 120 for each kilogram begun."""
    if weight_g <= 0:
        raise ValueError("a parcel weighs something")
    return 390 if weight_g <= 500 else 390 + 120 * -(-weight_g // 1000)


def main() -> None:
    print(price_cents(int(sys.argv[1])))


if __name__ == "__main__":
    main()
