"""The process in which runs are executed: ``python -m likewise.studies.worker``, one request a line on stdin.

A run is answered on stdout by a line of JSON: ``{"status": "done"}``, or busy, failed or interrupted with a message.
When stdin ends while a run is under way, whoever asked for it is gone: the run finishes its step, writes a checkpoint
and stops.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
import warnings
from typing import Any

__all__: list[str] = []


def _listen(requests: queue.Queue[str | None], busy: threading.Event) -> None:
    for line in sys.stdin:
        requests.put(line)
    requests.put(None)
    if busy.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


def _answer(line: str) -> dict[str, Any]:
    from likewise.errors import LikewiseError
    from likewise.studies.runs import Busy, RunRequest, execute
    from likewise.training.loop import Interrupted

    request = RunRequest.of(json.loads(line))
    try:
        execute(request)
    except Busy as error:
        return {"status": "busy", "message": str(error)}
    except (Interrupted, KeyboardInterrupt) as error:
        return {"status": "interrupted", "message": str(error)}
    except LikewiseError as error:
        return {"status": "failed", "message": str(error)}
    except Exception as error:
        (request.folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        text = " ".join(str(error).split()) or type(error).__name__
        return {"status": "failed", "message": f"{type(error).__name__}: {text} ({request.folder}/error.txt has more)"}
    return {"status": "done"}


def main() -> None:
    """Execute runs until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints must not look like an answer
    warnings.simplefilter("ignore")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    requests: queue.Queue[str | None] = queue.Queue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(requests, busy), daemon=True).start()
    while (line := requests.get()) is not None:
        busy.set()
        answers.write(json.dumps(_answer(line)) + "\n")
        answers.flush()
        busy.clear()


if __name__ == "__main__":
    main()
