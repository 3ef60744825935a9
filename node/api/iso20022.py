"""What ISO 20022 messages of the node share: texts that elements hold, times, and writing XML.

The classes of messages are those of pyiso20022, which are made from the schemas; tests hold what is
written against the schemas themselves.
"""

import re
from datetime import datetime
from typing import Any, Final

from xsdata.formats.dataclass.context import XmlContext
from xsdata.formats.dataclass.serializers import XmlSerializer
from xsdata.formats.dataclass.serializers.writers import XmlEventWriter
from xsdata.models.datatype import XmlDateTime

XML: Final = "application/xml"
"""Media type of a message."""

ISSUER: Final = "Corridor"
"""Who issues codes and ids that are not of ISO's lists."""

# Neither controls nor what XML 1.0 (2.2) leaves out; a line break means nothing in these elements.
_NOT_TEXT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")

_context: Final = XmlContext()  # keeps what it finds out about the classes


def cut(text: str, length: int) -> str | None:
    """What of a text an element of at most `length` characters holds; None: nothing."""
    plain = " ".join(_NOT_TEXT.sub(" ", text).split())
    return plain[:length].rstrip() or None


def moment(at: datetime) -> XmlDateTime:
    """A time."""
    return XmlDateTime.from_datetime(at)


def written(document: Any, name: str) -> bytes:
    """A message as UTF-8; `name` such as `camt.053.001.08`."""
    # The writer is named because another one takes its place where lxml is installed.
    serializer = XmlSerializer(context=_context, writer=XmlEventWriter)
    namespace = f"urn:iso:std:iso:20022:tech:xsd:{name}"
    return serializer.render(document, ns_map={None: namespace}).encode()
