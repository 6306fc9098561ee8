"""The runtime port on Kubernetes (DESIGN 6; objects as api.md 26): one namespace per application."""

from deis_platform.runtime.kubernetes.runtime import KubernetesRuntime

__all__ = ["KubernetesRuntime"]
