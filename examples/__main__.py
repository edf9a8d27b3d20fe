"""Play the stories of all examples, or of those named, one after the other."""

from __future__ import annotations

import argparse
import sys

from examples.show import add_server, examples, play, story

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m examples", description=__doc__, epilog="Example: python -m examples trip canary"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(examples())}; default: all")
    add_server(parser)
    given = parser.parse_args()
    if unknown := set(given.names) - set(examples()):
        parser.error(f"there is no example {', '.join(sorted(unknown))}; there are {', '.join(examples())}")
    sys.exit(play({name: story(name) for name in given.names or examples()}, given.address, given.namespace))
