"""HTML pages from the templates of a package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_page(package: str, template: str, *, filters: Mapping[str, Callable[..., str]], **values: Any) -> str:
    """Render a template; text is escaped, and a value that the template names and does not get is an error.

    Parameters
    ----------
    package
        Package whose folder ``templates`` has the template.
    template
        Name of its file.
    filters
        Functions that the template applies to values, by name.
    **values
        What the template shows.
    """
    environment = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(template).render(**values)
