"""Elements of ISO 20022 messages, by their names, whatever version their namespace is of.

Parsing is not here: files come from strangers, and their reader says what it takes.
"""

from xml.etree.ElementTree import Element


def local_name(node: Element) -> str:
    """The name of an element without its namespace."""
    return node.tag.rpartition("}")[2]


def children_named(node: Element, name: str, *, deep: bool = False) -> list[Element]:
    """Children of that name, in order; `deep`: the element itself and all below it."""
    return [each for each in (node.iter() if deep else node) if local_name(each) == name]


def first_at(node: Element, *path: str) -> Element | None:
    """The first child of the first child, and so on; None: there is none."""
    for name in path:
        children = children_named(node, name)
        if not children:
            return None
        node = children[0]
    return node


def text_at(node: Element, *path: str) -> str:
    """Its text without space around it; empty where there is none."""
    found = first_at(node, *path)
    return "" if found is None else (found.text or "").strip()
