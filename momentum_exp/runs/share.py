"""A machine shared by several jobs of a sweep: which threads and which GPU each of them takes."""

import os


def threads_each(cores: int, n_jobs: int) -> int:
    """CPU threads of one of `n_jobs` jobs at a time on so many cores, at least 1.

    A negative `n_jobs` is counted from the cores, as joblib does: -1 is a job a core, -2 one less.
    """
    jobs = n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)
    return max(1, cores // jobs)


def gpu_of(job: int, gpus: int) -> int | None:
    """The index of the GPU that job number `job` takes, round robin; None where there is none."""
    return job % gpus if gpus else None


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
