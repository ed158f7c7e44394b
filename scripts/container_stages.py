"""Run the stages of deploy/Dockerfile without a container engine, then the image's program, and ask whether it works.

    sudo python3 scripts/container_stages.py server|verifier [--work FOLDER]

For Linux, as root. Every stage is an overlay of this machine's own files, entered with chroot in a mount namespace of
its own: nothing outside FOLDER (a temporary one by default) is changed. This machine stands in for the base images, so
it needs their tools (python3 with venv, node and npm), and what the base images contain is not tested. The last line
is `ok` once the program has answered as the image's user, and has ended by SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
_BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOUNTS = ("proc", "dev")
_PATIENCE_S = 120.0
_UNSHARED = "CONTAINER_STAGES_UNSHARED"
TOYS = {"SPECULATOVIZ_TARGET": "toy:0", "SPECULATOVIZ_DRAFT": "toy:0~7"}  # no weights are downloaded


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile, such as RUN, with the text after it; line continuations are joined."""

    name: str
    text: str


@dataclass
class Stage:
    """A stage: the name of its base, and its instructions."""

    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)


@dataclass
class Image:
    """What a stage has made. layer: folder with all files above the base image. user: uid:gid, or empty for root."""

    layer: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _BASE_PATH, "HOME": "/root"})
    workdir: str = "/"
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile, in order."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield Instruction(name.upper(), rest.strip())


def stages(text: str, arguments: dict[str, str]) -> dict[str, Stage]:
    """The stages by name. arguments: values of ARG before the first stage, in place of their defaults."""
    found: dict[str, Stage] = {}
    values: dict[str, str] = {}
    current: Stage | None = None
    for instruction in instructions(text):
        if instruction.name == "FROM":
            base, _, name = expanded(instruction.text, values).partition(" AS ")
            current = found[name] = Stage(name, base)
        elif current is None:
            name, _, default = instruction.text.partition("=")
            values[name] = arguments.get(name, default)
        elif instruction.name == "ARG":
            current.instructions.append(Instruction("ARG", f"{instruction.text}={values[instruction.text]}"))
        else:
            current.instructions.append(instruction)
    return found


def expanded(text: str, values: dict[str, str]) -> str:
    """`text` with ${NAME} and $NAME replaced."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values.get(match[1], ""), text)


class Builder:
    """Builds the stages that a target needs, each once, below a folder."""

    def __init__(self, found: dict[str, Stage], work: Path) -> None:
        self._found, self._work = found, work
        self._built: dict[str, Image] = {}

    def build(self, name: str) -> Image:
        """The image of a stage."""
        if name not in self._built:
            self._built[name] = self._built_stage(self._found[name])
        return self._built[name]

    def _built_stage(self, stage: Stage) -> Image:
        layer = self._work / stage.name
        if stage.base in self._found:  # a copy: an overlay takes no two layers of which one is in the other
            base = self.build(stage.base)
            subprocess.run(["cp", "-a", str(base.layer), str(layer)], check=True)
            image = replace(base, layer=layer, environment=dict(base.environment))
        else:  # this machine stands in for a base image
            layer.mkdir(mode=0o755)
            image = Image(layer)
        values: dict[str, str] = {}
        for instruction in stage.instructions:
            print(f"[{stage.name}] {instruction.name} {instruction.text}", flush=True)
            self._follow(image, instruction, values)
        return image

    def _follow(self, image: Image, instruction: Instruction, values: dict[str, str]) -> None:
        text = expanded(instruction.text, values) if instruction.name != "RUN" else instruction.text
        match instruction.name:
            case "ARG":
                name, _, value = text.partition("=")
                values[name] = value
            case "ENV":
                image.environment |= dict(pair.split("=", 1) for pair in shlex.split(text))
            case "WORKDIR":
                image.workdir = text
                run(image, ["mkdir", "-p", text], workdir="/")
            case "COPY":
                self._copy(image, text.split())
            case "RUN":
                run(image, ["/bin/sh", "-c", text], values)
            case "USER":
                image.user = text
            case "ENTRYPOINT":
                image.entrypoint = json.loads(text)
            case "CMD":
                image.command = json.loads(text)
            case "EXPOSE" | "VOLUME" | "HEALTHCHECK" | "LABEL":
                pass
            case other:
                raise SystemExit(f"The instruction {other} is not known here.")

    def _copy(self, image: Image, words: list[str]) -> None:
        """COPY: files into a folder, or the contents of a folder, from the repository or from another stage."""
        source: Image | None = None
        if words[0].startswith("--from="):
            source = self.build(words.pop(0).removeprefix("--from="))
        *names, into = words
        target = os.path.join(image.workdir, into)  # noqa: PTH118 (a path in the image)
        for name in names:
            with opened(source) if source else nullcontext(ROOT) as root:
                origin, place = root / name.lstrip("/"), image.layer / target.lstrip("/")
                if origin.is_dir():
                    shutil.copytree(origin, place, symlinks=True, dirs_exist_ok=True, ignore=None if source else unsent)
                    continue
                place = place / origin.name if into.endswith("/") else place
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(origin, place)


def unsent(folder: str, names: list[str]) -> set[str]:
    """What deploy/Dockerfile.dockerignore keeps back of a folder: what is built or installed in a checkout."""
    built = {"node_modules", "test-results", "__pycache__"}
    return {name for name in names if name in built or Path(folder, name).match("speculatoviz/server/page")}


@contextmanager
def opened(image: Image) -> Iterator[Path]:
    """The root of an image: the files of this machine under those of its layer, which changes go to."""
    with tempfile.TemporaryDirectory(dir=image.layer.parent) as folder:
        root, work = Path(folder, "root"), Path(folder, "work")
        root.mkdir()
        work.mkdir()
        options = f"lowerdir=/,upperdir={image.layer},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(root)], check=True)
        try:
            for name in _MOUNTS:
                subprocess.run(["mount", "--rbind", f"/{name}", str(root / name)], check=True)
            yield root
        finally:
            subprocess.run(["umount", "-R", "-l", str(root)], check=True)


def entered(image: Image, root: Path, words: list[str], workdir: str) -> list[str]:
    """The command line that runs `words` in an image, as its user, in a folder."""
    user = [f"--userspec={image.user}"] if image.user else []
    script = 'cd "$1" && shift && exec "$@"'
    program = shutil.which("chroot", path=_BASE_PATH) or "chroot"
    return [program, *user, str(root), "/bin/sh", "-c", script, "sh", workdir, *words]


def run(image: Image, words: list[str], values: dict[str, str] | None = None, workdir: str | None = None) -> None:
    """Run a command in an image to its end. Its changes stay in the layer."""
    with opened(image) as root:
        environment = image.environment | (values or {}) | _of_this_machine()
        subprocess.run(entered(image, root, words, workdir or image.workdir), env=environment, check=True)


def _of_this_machine() -> dict[str, str]:
    """How packages are reached from here: proxies and certificates, as an engine passes them to a build."""
    kept = re.compile(r"(?i).*_proxy|PIP_.*|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|npm_config_.*")
    return {name: value for name, value in os.environ.items() if kept.fullmatch(name)}


def check(image: Image, target: str) -> None:
    """Start the image's program as its user, ask it, and end it."""
    port = int(image.environment["SPECULATOVIZ_PORT"])
    ready = f"http://127.0.0.1:{port}{'/api' if target == 'server' else ''}/health/ready"
    with opened(image) as root:
        run_key = [*image.entrypoint, "keys", "add", "check"]
        environment = image.environment | TOYS
        made = subprocess.run(
            entered(image, root, run_key, image.workdir), env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        words = [*image.entrypoint, *image.command]
        process = subprocess.Popen(entered(image, root, words, image.workdir), env=environment)
        try:
            wait_for(ready, process)
            print(f"the program runs as user {user_of(process.pid)}")
            ask(f"http://127.0.0.1:{port}", target, made.stdout.strip())
            process.send_signal(signal.SIGTERM)
            ended = process.wait(_PATIENCE_S)
        finally:
            process.kill()
    if ended not in {0, -signal.SIGTERM}:
        raise SystemExit(f"The program ended with {ended}.")


def user_of(pid: int) -> str:
    """The user id of a process, which must not be that of root."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:")]
    user = line.split()[1]
    if user == "0":
        raise SystemExit("The program runs as root.")
    return user


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until an address answers with status 200."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 (an address of this machine)
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{url} did not answer.")


def ask(url: str, target: str, key: str) -> None:
    """The page and a completion of a server, or the state of a verifier, with a key."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def answer(path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url + path, data, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as response:  # noqa: S310
            content: bytes = response.read()
            return content

    if target == "verifier":
        print("health:", answer("/health").decode())
        return
    page = answer("/")
    if b'<div id="root">' not in page:
        raise SystemExit("The page is not in the image.")
    completion = json.loads(answer("/v1/completions", {"prompt": "once upon a time", "max_tokens": 8}))
    print("the page has", len(page), "bytes; a completion:", repr(completion["choices"][0]["text"]))


def main() -> None:
    """Run the stages of a target, and check the result."""
    parser = argparse.ArgumentParser(description="Run the stages of deploy/Dockerfile without a container engine.")
    parser.add_argument("target", choices=["server", "verifier"])
    parser.add_argument("--work", type=Path, help="folder for the stages; a temporary one by default")
    given = parser.parse_args()
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        raise SystemExit("The stages are mounted: run this as root on Linux.")
    if os.environ.get(_UNSHARED) is None:  # mounts must not be seen outside, and end with this process
        words = ["unshare", "--mount", sys.executable, *sys.argv]
        raise SystemExit(subprocess.run(words, env=os.environ | {_UNSHARED: "1"}, check=False).returncode)
    with tempfile.TemporaryDirectory(prefix="stages-", dir=given.work) as folder:
        Path(folder).chmod(0o755)
        found = stages(DOCKERFILE.read_text(), {"PYTHON": python_version()})
        image = Builder(found, Path(folder)).build(given.target)
        files = (file for file in image.layer.rglob("*") if not file.is_symlink())
        size = sum(file.stat().st_size for file in files if file.is_file())
        print(f"the files above the base image have {size / 1e6:.0f} MB")
        check(image, given.target)
    print("ok")


def python_version() -> str:
    """That of the python3 which stands in for the one of the base image."""
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    words = ["env", "-i", f"PATH={_BASE_PATH}", "python3", "-c", asked]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    main()
