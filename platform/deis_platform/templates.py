"""Text from jinja2 templates that lie in packages; a name that is not given is an error.

Only pages (`*.html.j2`) are escaped; the rest are configuration files.
"""

import functools

import jinja2


@functools.cache
def _environment(package: str) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=jinja2.select_autoescape(["html.j2"]),
    )


def render(package: str, name: str, **values: object) -> str:
    """Template `name` in folder `templates` of a package, with these values.

    Raises jinja2.UndefinedError for a name that is missing.
    """
    return _environment(package).get_template(name).render(**values)
