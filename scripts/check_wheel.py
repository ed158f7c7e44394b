"""Fail unless a wheel holds the page with every file that its index.html names, the player, and the trained heads."""

import re
import sys
import zipfile

PAGE = "speculatoviz/server/page/"
PLAYER = "speculatoviz/lab/built/player.html"
HEADS = re.compile(r"speculatoviz/heads/shipped/.+\.(eagle|medusa)\.safetensors")


def main(path: str) -> None:
    """Check the wheel at `path`."""
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        if f"{PAGE}index.html" not in names:
            sys.exit(f"{path} does not contain the page.\nRun `make page` and build it again.")
        if PLAYER not in names:
            sys.exit(f"{path} does not contain the player.\nRun `make clean page` and build it again.")
        html = wheel.read(f"{PAGE}index.html").decode()
    if {found[1] for name in names if (found := HEADS.fullmatch(name))} != {"eagle", "medusa"}:
        sys.exit(f"{path} lacks trained heads.\nLook for them in src/speculatoviz/heads/shipped and build it again.")
    wanted = re.findall(r'(?:src|href)="\.?/([^"#?]+)"', html)
    missing = [name for name in wanted if PAGE + name not in names]
    if missing or not wanted:
        sys.exit(f"{path} lacks {missing or 'any script'} of the page.\nRun `make clean page` and build it again.")
    print(f"{path} contains the page with its {len(wanted)} files, and the trained heads")


if __name__ == "__main__":
    main(sys.argv[1])
