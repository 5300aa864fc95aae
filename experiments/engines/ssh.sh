#!/bin/sh
# A worker on each of some hosts, started by ssh, then a command on them.
#
#   HEAD=192.168.1.10 sh ssh.sh "node1 node2" policysearch compare --tasks lqr --optimizers cma-es ars --out mine
#
# HEAD is the address of this machine that the hosts can reach. Python and the package have to be the same there, at
# the same path; modules of your own are found in the present folder, which has to be there too. Messages are encrypted:
# who may connect to a scheduler or a worker runs code on it, so DASK_CONFIG names what certificates.sh has written.
set -eu
hosts=$1
shift
python=${PYTHON:-$(command -v python)}
: "${HEAD:?the address of this machine}" "${DASK_CONFIG:?the folder of certificates.sh}"
export DASK_CONFIG
$python -m distributed.cli.dask_scheduler --protocol tls --host "$HEAD" --port "${PORT:-8786}" --no-dashboard \
  2>scheduler.log &
started=$!
trap 'kill $started 2>/dev/null || true' EXIT INT TERM
for host in $hosts; do
  # -tt ends the worker when this script ends.
  ssh -tt "$host" "cd '$PWD' && DASK_CONFIG='$DASK_CONFIG' PYTHONPATH='$PWD:${PYTHONPATH:-}' exec '$python' \
    -m distributed.cli.dask_worker 'tls://$HEAD:${PORT:-8786}' --nthreads 1 --no-dashboard" </dev/null >/dev/null 2>&1 &
  started="$started $!"
done
"$@" --engine "dask=tls://$HEAD:${PORT:-8786}"
