"""Real gloo processes for tests: ``processes.run(function, *arguments, num_processes=3)``.

The processes are started once for all tests that use them, because importing torch is most of their life. Each job
makes its own process group (meeting in a file, so parallel test runs do not collide) and calls a function of a test
module in every process: it is found by its file and name, its arguments and results are pickled. A failure in one
process fails the test with that process's traceback; a job that does not end in time is killed.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import pickle
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEETINGS = 3
"""Times that processes try to meet. On a machine under load gloo may close a connection while it makes the first ones;
nothing of what is tested has run by then."""


class NotMetError(AssertionError):
    """The processes of a job did not come to form a group."""


class Processes:
    """A few processes that wait for jobs.

    Args:
        folder: Where jobs, results and logs are left.
        most: How many processes a job can have.
    """

    def __init__(self, folder: Path, most: int = 4) -> None:
        self.folder, self.most = folder, most
        self._workers: list[subprocess.Popen[str]] = []
        self._num_jobs = 0

    def run(
        self, function: Callable[..., Any], *arguments: Any, num_processes: int, timeout_s: float = 120.0
    ) -> list[Any]:
        """Call ``function(*arguments)`` in each of a group of processes; return what it returns, in rank order."""
        if not 1 <= num_processes <= self.most:
            raise ValueError(f"num_processes is {num_processes}; at least 1 and at most {self.most}")
        for _ in range(MEETINGS - 1):
            try:
                return self._run(function, arguments, num_processes, timeout_s)
            except NotMetError:
                continue
        return self._run(function, arguments, num_processes, timeout_s)

    def _run(self, function: Callable[..., Any], arguments: Any, num_processes: int, timeout_s: float) -> list[Any]:
        if not self._workers:
            self._start()
        job = self.folder / f"job{self._num_jobs}"
        self._num_jobs += 1
        job.mkdir()
        call = (inspect.getsourcefile(function), function.__qualname__, arguments, num_processes)
        (job / "call").write_bytes(pickle.dumps(call))
        for worker in self._workers[:num_processes]:
            assert worker.stdin is not None
            worker.stdin.write(f"{job}\n")
            worker.stdin.flush()
        try:
            return self._results(job, num_processes, time.monotonic() + timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all processes; the next job starts new ones."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.wait()
            assert worker.stdin is not None
            worker.stdin.close()
        self._workers = []

    def _start(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if sys.platform == "linux":
            environment["GLOO_SOCKET_IFNAME"] = "lo"  # a machine may have no name and no network
        for rank in range(self.most):
            with (self.folder / f"log{rank}").open("a") as log:
                command = [sys.executable, __file__, str(rank)]
                worker = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, env=environment
                )
            self._workers.append(worker)

    def _results(self, job: Path, num_processes: int, deadline: float) -> list[Any]:
        results: dict[int, Any] = {}
        while len(results) < num_processes:
            for rank in set(range(num_processes)) - results.keys():
                if (job / f"result{rank}").exists():
                    done, results[rank] = pickle.loads((job / f"result{rank}").read_bytes())
                    if done is None:
                        raise NotMetError(f"process {rank} of {num_processes} met no other:\n{results[rank]}")
                    if not done:
                        raise AssertionError(f"process {rank} of {num_processes} failed:\n{results[rank]}")
                elif self._workers[rank].poll() is not None:
                    log = (self.folder / f"log{rank}").read_text()
                    raise AssertionError(f"process {rank} of {num_processes} died:\n{log}")
            if time.monotonic() > deadline:
                missing = sorted(set(range(num_processes)) - results.keys())
                raise AssertionError(f"processes {missing} of {num_processes} did not end in time")
            time.sleep(0.005)
        return [results[rank] for rank in range(num_processes)]


def _load(file: str, name: str) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return getattr(module, name)


def _work(rank: int) -> None:
    """Do jobs until there are none."""
    import torch.distributed as dist

    sys.path.insert(0, str(Path(__file__).parent))
    functions: dict[tuple[str, str], Callable[..., Any]] = {}
    for line in sys.stdin:
        job = Path(line.strip())
        file, name, arguments, num_processes = pickle.loads((job / "call").read_bytes())
        try:
            if (file, name) not in functions:
                functions[file, name] = _load(file, name)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                result: tuple[bool | None, Any]
                try:
                    dist.init_process_group("gloo", f"file://{job}/meet", rank=rank, world_size=num_processes)
                except RuntimeError:
                    result = None, traceback.format_exc()
                else:
                    result = True, functions[file, name](*arguments)
        except BaseException:
            result = False, traceback.format_exc()
        (job / f"writing{rank}").write_bytes(pickle.dumps(result))
        (job / f"writing{rank}").rename(job / f"result{rank}")
        if dist.is_initialized():
            dist.destroy_process_group()


if __name__ == "__main__":
    _work(int(sys.argv[1]))
