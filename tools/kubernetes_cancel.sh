#!/bin/sh
# Stops jobs of profiles/kubernetes, by name.
exec kubectl delete job --wait=false --ignore-not-found "$@"
