"""Names in prose link to the reference: `VAE` finds skvae.VAE.

An extension of Sphinx. A name in single backticks is looked up among all documented
objects: as it stands, and then by its last parts, in modules before their parts. What
has no entry, or several of one kind, stays as it is.
"""

from functools import cache

from sphinx.util.nodes import make_refnode


def setup(app):
    app.connect("missing-reference", find)
    return {"parallel_read_safe": True}


def find(app, env, node, contents):
    """Return a link to what a name means, None for none."""
    if node.get("refdomain") != "py" or node["reftype"] != "obj":
        return None
    domain = env.domains["py"]
    known = _meant(node["reftarget"].removesuffix("()"), _by_last_part(domain))
    if known is None:
        return None
    entry = domain.objects[known]
    place = entry.docname, entry.node_id
    return make_refnode(app.builder, node["refdoc"], *place, contents, known)


def _meant(name, known_by_last_part):
    """Return the one documented object that a name can mean, or None.

    A name that stands alone is that of a class or a function, not of a method.
    """
    ends = known_by_last_part.get(name.split(".")[-1], [])
    ends = [known for known in ends if f".{known}".endswith(f".{name}")]
    if "." not in name:
        ends = [known for known in ends if not _is_method(known)]
    return ends[0] if len(ends) == 1 else None


def _is_method(known):
    return any(part[:1].isupper() for part in known.split(".")[:-1])


@cache
def _by_last_part(domain):
    ends = {}
    for known, entry in domain.objects.items():
        if not entry.aliased:  # that of a private module
            ends.setdefault(known.split(".")[-1], []).append(known)
    return ends
