"""The web app: `python app.py [--host --port --data-dir --device --dtype]`. Also the entry of a Hugging Face Space.

Environment: SVDLAB_HOST, SVDLAB_PORT, SVDLAB_DATA_DIR, SVDLAB_DEVICE, SVDLAB_DTYPE. Flags win.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Flags over the environment over the defaults."""
    env = os.environ.get
    on_space = bool(env("SPACE_ID"))
    parser = argparse.ArgumentParser(description="Serve svdlab in the browser.")
    parser.add_argument("--host", default=env("SVDLAB_HOST") or ("0.0.0.0" if on_space else "127.0.0.1"))
    parser.add_argument("--port", type=int, default=env("SVDLAB_PORT") or 7860)
    parser.add_argument(
        "--data-dir", default=env("SVDLAB_DATA_DIR") or None, help="where runs and pictures are kept"
    )
    parser.add_argument(
        "--device", default=env("SVDLAB_DEVICE") or "auto", help="auto, cpu, cuda, cuda:1, mps"
    )
    parser.add_argument(
        "--dtype", default=env("SVDLAB_DTYPE") or "auto", help="auto, float32, float16, bfloat16"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Serves until interrupted; returns the exit code."""
    options = arguments(given)
    from svdlab.errors import SvdlabError
    from svdlab.ui import serve

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # containers stop with it; close as on Ctrl-C
    try:
        serve(options.host, options.port, options.data_dir, options.device, options.dtype, options.open)
    except SvdlabError as error:
        print(f"svdlab: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # the port is taken
        print(f"svdlab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
