"""What a build finds in its environment: an allow-list, never what we were started with."""

import fnmatch
from collections.abc import Mapping

from deis_bus.contracts.runtime import BuildRun

DEFAULT = (
    "PIP_CONFIG_FILE,PIP_INDEX_URL,PIP_EXTRA_INDEX_URL,PIP_FIND_LINKS,PIP_TRUSTED_HOST,PIP_CERT,"
    "PIP_DEFAULT_TIMEOUT,UV_DEFAULT_INDEX,UV_INDEX,UV_INDEX_URL,UV_EXTRA_INDEX_URL,UV_FIND_LINKS,"
    "UV_INSECURE_HOST,UV_NATIVE_TLS,UV_SYSTEM_CERTS,UV_PYTHON_INSTALL_MIRROR,SSL_CERT_FILE,"
    "SSL_CERT_DIR,REQUESTS_CA_BUNDLE,CURL_CA_BUNDLE,GIT_SSL_CAINFO,NODE_EXTRA_CA_CERTS,"
    "HTTP_PROXY,HTTPS_PROXY,ALL_PROXY,NO_PROXY,http_proxy,https_proxy,all_proxy,no_proxy,"
    "npm_config_registry,NPM_CONFIG_REGISTRY,GOPROXY"
)
"""DEIS_BUILD_ENV where it is empty: index, proxy and CA variables of package tools."""


def passed(wanted: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Those of our variables that DEIS_BUILD_ENV names: names or patterns, by comma.

    Nothing that begins with DEIS_ is ever passed: those are the platform's own.
    """
    patterns = [word.strip() for word in (wanted or DEFAULT).split(",") if word.strip()]
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith("DEIS_")
        and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }


def told(task: BuildRun, env_dir: str) -> dict[str, str]:
    """What the slugbuilder is told; it takes these out before anything of the build runs."""
    return {
        "SOURCE_URL": task.source_url,
        "SOURCE_TOKEN": task.source_token,
        "SOURCE_VERSION": task.sha,
        "SLUG_URL": task.slug_url,
        "SLUG_TOKEN": task.slug_token,
        "CACHE_URL": task.cache_url,
        "CACHE_TOKEN": task.cache_token,
        "SLUG_LIMIT_BYTES": str(task.slug_limit_bytes),
        "ENV_DIR": env_dir,
    }
