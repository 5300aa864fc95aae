"""Workers as Slurm jobs, which come and go while a study runs: `--engine slurm_jobs:make`.

    JOBS=10 policysearch compare --tasks lqr --optimizers cma-es ars --engine slurm_jobs:make --out mine

The driver runs on a login node, or in a job of its own. A job that ends at its time limit is replaced by another.
"""

import os
from dataclasses import replace

from dask_jobqueue.slurm import SLURMCluster
from distributed import Client

from policysearch.engines import Engine, opened


def make() -> Engine:
    """An engine whose workers are as many jobs as JOBS says, of a node each."""
    cluster = SLURMCluster(
        cores=1,  # tasks at a time: a worker spreads each over the processors of its job
        processes=1,
        job_cpu=int(os.environ.get("CPUS", "64")),
        memory=os.environ.get("MEMORY", "64GB"),
        walltime=os.environ.get("WALLTIME", "08:00:00"),
        job_extra_directives=["--exclusive"],
        protocol="tls",  # by the certificates of Dask's configuration
    )
    cluster.adapt(
        minimum_jobs=int(os.environ.get("JOBS", "4")), maximum_jobs=int(os.environ.get("JOBS", "4"))
    )
    client = Client(cluster)

    def close() -> None:
        client.close()
        cluster.close()  # which ends the jobs

    return replace(opened(client.get_executor(pure=False)), close=close)
