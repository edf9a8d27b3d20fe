"""Videos that an outside system encodes: it calls back by a link, tells of its progress, dies, and is replaced."""
