"""A program: svdlab as it starts on a ZeroGPU Space, with the real package `spaces` and a lender that takes notes.

There is no GPU, so a call gets as far as its process asking for one. Prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ASKED: list[tuple[str, dict[str, str]]] = []
TOKEN = "e30.e30.visitor"


class LenderApi(BaseHTTPRequestHandler):
    """Grants whatever is asked for."""

    def do_POST(self) -> None:
        address = urlsplit(self.path)
        ASKED.append((address.path, {name: values[0] for name, values in parse_qs(address.query).items()}))
        granted = {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": "allowed"}
        body = json.dumps(granted if address.path == "/schedule" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def as_built_for_cuda() -> None:
    """Gives a build of torch without CUDA the names that the package looks up in one with it; none is called here."""
    import torch

    torch.version.cuda = torch.version.cuda or "13.0"
    if not torch.cuda.is_available():
        torch._C._cuda_init = None
        torch.cuda._is_in_bad_fork = bool  # asked in another process; called, it says no


def main(folder: Path) -> dict[str, Any]:
    """Starts as `svdlab app` does, has a visitor ask for a pair, and tells what came of it."""
    api = ThreadingHTTPServer(("127.0.0.1", 0), LenderApi)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    os.environ.update(
        SPACES_ZERO_GPU="true",
        SPACES_ZERO_DEVICE_API_URL=f"http://127.0.0.1:{api.server_port}",
        ZEROGPU_OFFLOAD_DIR=str(folder / "packed"),
        SPACE_ID="someone/svdlab",
        SVDLAB_PLACED="demo-1-1",
        SVDLAB_HOST="127.0.0.1",
    )
    as_built_for_cuda()
    import torch
    from gradio_client import Client, handle_file

    from svdlab.environment import Environment
    from svdlab.resources import assets_dir
    from svdlab.ui import launch
    from svdlab.workers import open_lab

    environment = Environment.read()
    with open_lab(folder / "data", warm=True, environment=environment) as lab:
        placed = {tensor.device.type for tensor in [torch.zeros(1, device="cuda")]}
        resident = sorted({id for one in lab.resident() for id in one.used_by})
        address = launch(lab, port=None, block=False)
        client = Client(address, verbose=False, headers={"X-IP-Token": TOKEN})
        picture = next((assets_dir() / "examples").glob("*.jpg"))
        error = ""
        try:
            client.predict(
                handle_file(picture),
                a="demo-1-0",
                b="demo-1-1",
                seed=1,
                num_inference_steps=1,
                num_frames=2,
                width=64,
                height=64,
                api_name="/compare",
            )
        except Exception as refused:
            error = str(refused)
        client.close()
        packed = sum(path.stat().st_size for path in (folder / "packed").iterdir())
        return {
            "worker": environment.worker_kind,
            "devices": sorted(placed),
            "resident": resident,
            "packed": packed,
            "asked": ASKED,
            "error": error,
            "states": [run.state for run in lab.history.runs()],
        }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))), flush=True)
    os._exit(0)  # the package's threads wait for a GPU that does not come
