"""Set up a checkout and start something in it, with nothing but Python's standard library: `bootstrap.py run`.

Knows pip, folders, which build of PyTorch fits which machine, and what each script needs; nothing of svdlab itself.
scripts/run, scripts/test and the others call it, and so do run.cmd and test.cmd on Windows.

    SVDLAB_PYTHON=/path/to/python  make .venv with this Python (the shell scripts look it up)
    SVDLAB_TORCH=cpu | cu128 | …   take PyTorch from https://download.pytorch.org/whl/<that>; pypi takes PyPI's build.
                                   Unset, the build that fits the machine is looked for
    SVDLAB_TEST_WORKERS=0          test in one process, for a debugger (default: one per core, 4 at most)
    SVDLAB_CHROMIUM=PATH           the browser to test with
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Callable, Iterator, Mapping, NamedTuple, Sequence  # noqa: UP035 (old Pythons read this)

OLDEST = (3, 11)
WHEELS = "https://download.pytorch.org/whl/"
CUDA_BUILDS = ((13, 0), (12, 8), (12, 6))  # that PyTorch is published for, newest first
PYPI_CUDA = (13, 0)  # what PyPI's Linux build wants of the driver, at least
PROBE_SECONDS = 5.0
BASE = getattr(sys, "_base_executable", sys.executable)  # also where a .venv's own Python runs this
INSTALLING = ".svdlab-installing"  # there while pip works: found at a start, the last install was killed
HINT = (
    "install one (Windows: winget install Python.Python.3.12; macOS: brew install python; "
    "Debian, Ubuntu: apt install python3 python3-venv) and run this again"
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
)


class Stop(Exception):
    """Ends the set-up with a sentence."""


# Which machine, and which PyTorch


class Machine(NamedTuple):
    """What decides which build of PyTorch fits."""

    system: str  # Linux | Windows | Darwin
    processor: str  # x86_64, AMD64, arm64, aarch64 …
    cuda: tuple[int, int] | None  # the newest CUDA that the NVIDIA driver can run; None without one
    python: tuple[int, int]

    @classmethod
    def here(cls) -> Machine:
        """This machine."""
        return cls(platform.system(), platform.machine(), driver_cuda(), sys.version_info[:2])


def driver_cuda() -> tuple[int, int] | None:
    """What nvidia-smi says of the driver; None where there is no driver or no card."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        said = subprocess.run([tool], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return cuda_in(said.stdout) if said.returncode == 0 else None


def cuda_in(text: str) -> tuple[int, int] | None:
    """The CUDA version in nvidia-smi's table."""
    found = re.search(r"CUDA(?: UMD)? Version:\s*(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def page(url: str) -> str | None:
    """The text at an address; None if it cannot be had within a few seconds."""
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as answer:
            return answer.read(4_000_000).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None


class Build(NamedTuple):
    """Where to take PyTorch from. `index` None is the usual package index."""

    index: str | None
    says: str


Page = Callable[[str], str | None]


def torch_build(machine: Machine, asked: str, version: str, page: Page = page) -> Build:
    """The build of PyTorch `version` that fits a machine, or the one that was `asked` for. Raises `Stop`."""
    if asked == "pypi":
        return Build(None, "PyTorch: PyPI's build, as SVDLAB_TORCH asks.")
    if asked:
        if not re.fullmatch(r"cpu|xpu|cu\d+|rocm[\d.]+", asked):
            raise Stop(
                f"SVDLAB_TORCH must be cpu, cu128 (or another CUDA), rocm6.4, xpu, pypi or unset, got {asked}."
            )
        if _has(machine, asked, version, page):
            return Build(
                WHEELS + asked, f"PyTorch: the {asked} build from pytorch.org, as SVDLAB_TORCH asks."
            )
        return Build(
            None,
            f"PyTorch: the {asked} build of {version} cannot be had from {WHEELS}{asked} now; "
            "taking the package index's build instead.",
        )
    if machine.system == "Darwin":
        return Build(None, "PyTorch: PyPI's build, which uses Apple GPUs where there is one.")
    if machine.cuda is not None:
        return _for_nvidia(machine, version, page)
    if machine.system == "Linux" and machine.processor in ("x86_64", "AMD64"):
        if _has(machine, "cpu", version, page):
            return Build(
                WHEELS + "cpu", "PyTorch: no NVIDIA driver was found, so the CPU build from pytorch.org."
            )
        return Build(
            None,
            "PyTorch: no NVIDIA driver was found, but pytorch.org's CPU build cannot be had now; "
            "taking the package index's build, which may be larger.",
        )
    return Build(None, "PyTorch: no NVIDIA driver was found, so PyPI's build, which computes on the CPU.")


def _for_nvidia(machine: Machine, version: str, page: Page) -> Build:
    assert machine.cuda is not None
    driver = "{}.{}".format(*machine.cuda)
    if machine.system == "Linux" and machine.cuda >= PYPI_CUDA:
        return Build(
            None, f"PyTorch: an NVIDIA driver for CUDA {driver} was found, so PyPI's CUDA build (about 3 GB)."
        )
    for build in CUDA_BUILDS:
        name = "cu{}{}".format(*build)
        if build <= machine.cuda and _has(machine, name, version, page):
            return Build(
                WHEELS + name,
                f"PyTorch: an NVIDIA driver for CUDA {driver} was found, so its {name} build (about 3 GB).",
            )
    return Build(
        None,
        f"PyTorch: an NVIDIA driver for CUDA {driver} was found, but pytorch.org has no build of {version} for it, or "
        "cannot be reached; taking the package index's build, which may not use the card. A newer driver helps.",
    )


def _has(machine: Machine, name: str, version: str, page: Page) -> bool:
    """Whether pytorch.org lists a wheel of that build for this Python and machine."""
    listed = page(f"{WHEELS}{name}/torch/")
    if listed is None:
        return False
    tag = "cp{}{}".format(*machine.python)
    system = {"Windows": "win", "Linux": "linux", "Darwin": "macosx"}.get(machine.system, "")
    names = re.findall(r"torch-[^\"<>\s#]+\.whl", listed)
    return any(
        n.startswith((f"torch-{version}-", f"torch-{version}+", f"torch-{version}%2B"))
        and f"-{tag}-" in n
        and system in n
        for n in names
    )


# The virtual environment


class Checkout:
    """One checkout and its .venv.

    `call` runs a command and returns its exit code, `ask` what it prints ("" if it fails), `say` tells the person.
    """

    def __init__(
        self,
        root: Path,
        machine: Machine,
        environment: Mapping[str, str],
        call: Callable[..., int],
        ask: Callable[[Sequence[object]], str],
        say: Callable[[str], None],
        page: Page = page,
    ) -> None:
        self.root, self.machine, self.environment = root, machine, environment
        self.call, self.ask, self.say, self.page = call, ask, say, page
        self.venv = root / ".venv"
        places = ("Scripts", "python.exe") if machine.system == "Windows" else ("bin", "python")
        self.python = self.venv.joinpath(*places)

    def ensure(self, *files: str) -> None:
        """Makes .venv hold what the requirement files ask for; quick when it already does. Raises `Stop`."""
        if self._installed(files):
            return
        with self._alone():
            if not self._installed(files):
                self._make_venv()
                self._install(files)
                for file in files:
                    self._mark(file).write_text(self._fingerprint(file, self._version()), encoding="utf-8")
                self._mark("torch").write_text(self._asked(), encoding="utf-8")

    def _asked(self) -> str:
        return self.environment.get("SVDLAB_TORCH", "").strip().lower()

    def _mark(self, name: str) -> Path:
        return self.venv / f".svdlab-{name}"

    def _version(self) -> tuple[int, ...]:
        """The version of .venv's Python, which may have been replaced under it; () if it does not start."""
        said = self.ask([self.python, "-I", "-S", "-c", "import sys; print(*sys.version_info[:2])"])
        return tuple(int(part) for part in said.split())

    def _fingerprint(self, file: str, version: tuple[int, ...]) -> str:
        """What was installed from a file, as one short text."""
        digest = hashlib.sha256()
        for name in (file, "constraints.txt", "pyproject.toml"):
            digest.update((self.root / name).read_bytes())
        return "python {} {}\n".format(".".join(map(str, version)), digest.hexdigest()[:32])

    def _installed(self, files: Sequence[str]) -> bool:
        if (self.venv / INSTALLING).exists() or not self.python.exists():
            return False
        if self._asked() and self._read(self._mark("torch")) != self._asked():
            return False
        version = self._version()
        return all(self._read(self._mark(file)) == self._fingerprint(file, version) for file in files)

    @staticmethod
    def _read(path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8")
        except OSError:
            return ""

    def _make_venv(self) -> None:
        """A .venv that pip can be run in: kept when sound, given a pip when only that is missing, else made anew."""
        sound = not (self.venv / INSTALLING).exists() and self.python.exists() and self._version() >= OLDEST
        if sound:
            for pip in (["-m", "pip", "--version"], ["-m", "ensurepip"]):
                if self.call([self.python, *pip], quiet=True) == 0:
                    return
        self.say("Making .venv with Python {}.{} ({})".format(*self.machine.python, BASE))
        if self.call([BASE, "-m", "venv", "--clear", self.venv]) != 0:
            raise Stop(f"The virtual environment {self.venv} could not be made; {HINT}.")

    def _install(self, files: Sequence[str]) -> None:
        self.say("Installing what svdlab needs into .venv; the first time takes a few minutes.")
        mark = self.venv / INSTALLING
        mark.touch()
        pip = [self.python, "-m", "pip", "install", "--disable-pip-version-check", "-c", "constraints.txt"]
        if not sys.stdout.isatty():
            pip += ["-qq", "--progress-bar", "off"]  # a log wants what went wrong, a person the progress
        machine = self.machine._replace(python=self._version() or self.machine.python)
        build = torch_build(machine, self._asked(), self._torch_version(), self.page)
        self.say(build.says)
        failed = 0
        if build.index is not None:
            # Only torch itself comes from there; what it needs is resolved from the usual index with the rest.
            again = (
                ["--force-reinstall"] if self._read(self._mark("torch")) not in ("", self._asked()) else []
            )
            failed = self.call(
                [*pip, *again, "--no-deps", "--retries", "1", "--index-url", build.index, "torch"]
            )
            if failed:
                self.say("That failed; taking the package index's build of PyTorch instead.")
        everything = [part for file in files for part in ("-r", file)]
        # -e . puts the svdlab command into .venv, running the code of this checkout.
        failed = self.call([*pip, *everything, "-e", "."])
        mark.unlink()  # pip ended by itself and tidied up; only a kill leaves the mark
        if failed:
            raise Stop("The installation failed for the reason above; run this again when that is mended.")

    def _torch_version(self) -> str:
        pinned = re.search(r"^torch==([\d.]+)", self._read(self.root / "constraints.txt"), re.MULTILINE)
        return pinned[1] if pinned else ""

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two set-ups at once in one checkout take turns."""
        with (self.root / "requirements.txt").open("r+b") as file:
            if not _lock(file, wait=False):
                self.say("Another set-up is at work in this checkout; waiting for it.")
                _lock(file, wait=True)
            yield


def _lock(file, wait: bool) -> bool:  # type: ignore[no-untyped-def]
    """Locks an open file until it is closed; False if another process has it and `wait` is not wanted."""
    try:
        if os.name == "nt":
            import msvcrt

            while True:
                try:
                    file.seek(1 << 30)  # beyond the end: reading the file stays possible
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                    return True
                except OSError:
                    if not wait:
                        return False
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except (
        ImportError,
        OSError,
    ):  # a file system without locks: two set-ups at once are not worth failing for
        return True
    return True


# What can be started

USE = ("requirements.txt",)
DEVELOP = ("requirements.txt", "requirements-dev.txt")


def check(checkout: Checkout) -> int:
    """Lint, format, types, who imports whom. All are run even when one finds something."""
    modules = (
        ["-m", "ruff", "check", "--output-format", "concise"],
        ["-m", "ruff", "format", "--check", "--output-format", "concise"],
        ["-m", "mypy"],
        [
            "-c",
            "import sys; from importlinter.cli import lint_imports_command as lint; sys.exit(lint())",
            "--no-logo",
        ],
    )
    codes = [checkout.call([checkout.python, *module], cwd=checkout.root) for module in modules]
    return int(any(codes))


def browser(checkout: Checkout) -> str | None:
    """A Chromium or Chrome that starts: Playwright's own download cannot play H.264."""
    asked = checkout.environment.get("SVDLAB_CHROMIUM")
    for candidate in (asked,) if asked else (*BROWSERS, *BROWSER_PLACES):
        found = shutil.which(candidate, path=checkout.environment.get("PATH"))
        # Started, not only looked up: on Ubuntu the name may be a note that asks for a snap. Chrome for Windows
        # opens a window instead of telling its version.
        if found and (
            checkout.machine.system == "Windows" or checkout.call([found, "--version"], quiet=True) == 0
        ):
            return found
    return None


def ensure_browser(checkout: Checkout) -> str | None:
    """Gets one from apt where that can be; says so where the browser tests will be skipped."""
    found = browser(checkout)
    apt = shutil.which("apt-get", path=checkout.environment.get("PATH"))
    if found is None and apt and hasattr(os, "geteuid") and os.geteuid() == 0:
        checkout.say("Installing Chromium for the browser tests.")
        options = ["-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
        quiet = {"quiet": True, "timeout": 600.0, "env": {"DEBIAN_FRONTEND": "noninteractive"}}
        codes = [checkout.call([apt, "update", "-q"], **quiet)]
        codes.append(checkout.call([apt, "install", *options, "chromium", "fonts-dejavu-core"], **quiet))
        if any(codes):
            checkout.say("apt-get could not install it: run apt-get install chromium to see why.")
        found = browser(checkout)
    if found is None:
        checkout.say("No Chromium was found: the browser tests will be skipped.")
    return found


def test(checkout: Checkout, arguments: Sequence[str]) -> int:
    """Checks and tests everything; pytest's closing line is the last one printed."""
    environment = {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    found = ensure_browser(checkout)
    if found:
        environment["SVDLAB_CHROMIUM"] = found
    failed = check(checkout)
    if failed:
        checkout.say("The checks above failed; the tests run all the same.")
    # Two processes with one torch thread each beat one with two: the demo models are small, and much of a test is
    # waiting for a browser or a disk. A file's tests stay in one process, so that its server starts once.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = int(checkout.environment.get("SVDLAB_TEST_WORKERS") or min(cores, 4))
    spread = ["-n", "0"]
    if workers > 1:
        environment["OMP_NUM_THREADS"] = checkout.environment.get("OMP_NUM_THREADS") or str(
            max(1, cores // workers)
        )
        spread = ["-n", str(workers), "--dist", "loadfile"]
    pytest = [checkout.python, "-m", "pytest", *spread, *arguments]
    return checkout.call(pytest, cwd=checkout.root, env=environment) or failed


def bench(checkout: Checkout, arguments: Sequence[str]) -> int:
    """Speed as ratios in one run; then what a page of the history takes, and what a sweep costs."""
    code = checkout.call([checkout.python, "-m", "svdlab", "bench", *arguments], cwd=checkout.root)
    if code or {"--json", "--help", "--quick", "--gpu"} & set(arguments):
        return code
    code = checkout.call([checkout.python, "-m", "tests.history_speed"], cwd=checkout.root)
    return code or checkout.call([checkout.python, "-m", "tests.sweep_speed"], cwd=checkout.root)


MODULES = {"train_demo": "training", "evaluate_demo": "training.evaluate", "real_size": "tests.real_size"}
COMMANDS = ("run", "test", "check", "bench", *MODULES)


def start(checkout: Checkout, command: str, arguments: Sequence[str]) -> int:
    """Sets up what a command needs and runs it; its exit code. Raises `Stop`."""
    checkout.ensure(*(USE if command in ("run", "bench") else DEVELOP))
    if command == "run":
        return checkout.call([checkout.python, checkout.root / "app.py", *arguments], last=True)
    if command == "test":
        return test(checkout, arguments)
    if command == "check":
        return check(checkout)
    if command == "bench":
        return bench(checkout, arguments)
    module = [checkout.python, "-m", MODULES[command], *arguments]
    return checkout.call(module, cwd=checkout.root, last=True)


def call(
    command: Sequence[object],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    quiet: bool = False,
    timeout: float | None = None,
    last: bool = False,
) -> int:
    """Runs a command and returns its exit code. The `last` one takes this process's place where the system can."""
    words = [str(word) for word in command]
    environment = {**os.environ, **(env or {})}
    if last and os.name != "nt":
        if cwd is not None:
            os.chdir(cwd)
        sys.stdout.flush()
        os.execve(words[0], words, environment)
    streams = (
        {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if quiet
        else {}
    )
    try:
        with subprocess.Popen(words, cwd=cwd, env=environment, **streams) as process:
            while True:
                try:
                    return process.wait(timeout)
                except KeyboardInterrupt:
                    continue  # it was pressed for the command as well, which ends when it is ready to
                except subprocess.TimeoutExpired:
                    process.kill()
                    return 1
    except OSError:
        return 127


def ask(command: Sequence[object]) -> str:
    """What a command prints; "" if it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def main(arguments: Sequence[str]) -> int:
    """`bootstrap.py COMMAND [OPTION …]`."""
    if sys.version_info < OLDEST:
        say(f"svdlab needs Python 3.11 or newer, and this is {platform.python_version()}: {HINT}.")
        return 1
    if not arguments or arguments[0] not in COMMANDS:
        say(f"say what to start: {', '.join(COMMANDS)}")
        return 2
    root = Path(__file__).resolve().parent.parent
    checkout = Checkout(root, Machine.here(), os.environ, call, ask, say)
    try:
        return start(checkout, arguments[0], arguments[1:])
    except Stop as reason:
        say(str(reason))
        return 1


def say(text: str) -> None:
    """Tells the person; what a command prints stays clean."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
