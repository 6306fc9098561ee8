"""Tests on a real Kubernetes cluster: the test node, or that of $KUBECONFIG. One process runs all."""
