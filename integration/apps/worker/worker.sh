#!/bin/sh
while :; do echo "worker is at it"; sleep 1; done
