#!/bin/sh
# A certificate for the messages of a cluster, and Dask's configuration that uses it.
#
#   sh certificates.sh ~/cluster && export DASK_CONFIG=~/cluster
#
# Whoever has key.pem can run code on the cluster: it is the password. Dask checks no names of hosts, so one
# certificate serves scheduler, workers and driver. Copy the folder to every host, at the same path.
set -eu
folder=$1
umask 077
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
openssl req -x509 -newkey rsa:3072 -nodes -days "${DAYS:-365}" -subj "/CN=policysearch" \
  -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>/dev/null
cat > "$folder/distributed.yaml" <<CONFIG
distributed:
  comm:
    require-encryption: true
    tls:
      ca-file: $folder/cert.pem
      scheduler: {key: $folder/key.pem, cert: $folder/cert.pem}
      worker: {key: $folder/key.pem, cert: $folder/cert.pem}
      client: {key: $folder/key.pem, cert: $folder/cert.pem}
CONFIG
echo "wrote $folder/distributed.yaml"
