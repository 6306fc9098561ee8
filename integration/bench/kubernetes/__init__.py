"""`make bench-kubernetes`: the platform on a cluster beside bare baselines (issue "Kubernetes")."""
