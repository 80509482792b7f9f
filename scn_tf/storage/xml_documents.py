"""Parsing of untrusted XML: no document types, no entities."""

import io
import xml.sax
from xml.sax.handler import ContentHandler

import defusedxml
import defusedxml.sax

from scn_tf.messages import visible
from scn_tf.storage.documents import DocumentError


def parse_xml(text: str, handler: ContentHandler) -> None:
    """Pass all elements of a text to a handler.

    Args:
        text: whole document. The encoding that it states does not count, since it is text already: some tools state a wrong one.
        handler: of :mod:`xml.sax`.

    Raises:
        DocumentError: the text is no XML, or has a document type or entities. The message begins with the line if it is known.
    """
    source = xml.sax.InputSource()
    source.setCharacterStream(io.StringIO(text))
    parser = defusedxml.sax.make_parser()
    parser.forbid_dtd = True
    parser.setContentHandler(handler)
    try:
        parser.parse(source)
    except xml.sax.SAXParseException as error:
        raise DocumentError(f"line {error.getLineNumber()}: is no valid XML ({visible(error.getMessage())}). Is it cut short?") from None
    except defusedxml.DefusedXmlException:
        raise DocumentError("has a document type or entities, which are not read.") from None
