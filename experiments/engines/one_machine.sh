#!/bin/sh
# A scheduler and N workers on this machine, then a command on them. All end with the command.
#
#   sh one_machine.sh 2 policysearch compare --tasks lqr --optimizers cma-es ars --out mine
#
# It is the smallest cluster, to try what belongs to yours: `--engine dask=FILE` is added to the command.
set -eu
workers=$1
shift
python=${PYTHON:-python}
folder=$(mktemp -d)
trap 'kill $started 2>/dev/null || true; wait; rm -rf "$folder"' EXIT INT TERM
started=
$python -m distributed.cli.dask_scheduler --host 127.0.0.1 --port 0 --no-dashboard \
  --scheduler-file "$folder/scheduler.json" 2>"$folder/scheduler.log" &
started=$!
while [ ! -s "$folder/scheduler.json" ]; do kill -0 $started; sleep 0.1; done
for number in $(seq "$workers"); do
  # One task at a time on each: the worker spreads it over the processors that it may use.
  $python -m distributed.cli.dask_worker --scheduler-file "$folder/scheduler.json" --host 127.0.0.1 \
    --nthreads 1 --no-dashboard --local-directory "$folder" 2>"$folder/worker$number.log" &
  started="$started $!"
done
"$@" --engine "dask=$folder/scheduler.json"
