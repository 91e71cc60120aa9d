"""What says in a file that its pictures are generated: IPTC's digital source type, in an XMP packet.

Where each kind of file keeps a packet: an MP4 in a box of its own behind everything else, a PNG in a text chunk, a WebP
in its XMP chunk; a GIF, which is not written here, has a place too. Knows bytes; nothing of recipes or of models.
Sources: IPTC Photo Metadata Standard, Digital Source Type; XMP Specification, part 3.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from svdlab import __version__

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PNG_KEYWORD = "XML:com.adobe.xmp"
MP4_UUID = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")  # that of the box an XMP packet is in
MOST_BOXES = 64  # of an MP4 that are looked at
MOST_BYTES = 64 * 1024  # of a packet; ours has 0.7 KB

PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <xmp:CreatorTool>svdlab {__version__}</xmp:CreatorTool>
   <Iptc4xmpExt:DigitalSourceType>{GENERATED}</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def mark_mp4(path: Path) -> None:
    """Appends the packet to a whole MP4: no offset in it changes, and players pass over the box. Raises `OSError`."""
    packet = MP4_UUID + PACKET.encode()
    with Path(path).open("ab") as file:
        file.write((8 + len(packet)).to_bytes(4, "big") + b"uuid" + packet)


def packet_of_mp4(path: str | os.PathLike[str]) -> str:
    """The XMP packet of an untrusted MP4, looked for box by box without reading the pictures; "" without one.

    Raises `OSError`.
    """
    with Path(path).open("rb") as file:
        for _ in range(MOST_BOXES):
            start, head = file.tell(), file.read(8)
            size, kind = int.from_bytes(head[:4], "big"), head[4:]
            if size == 1:
                size = int.from_bytes(file.read(8), "big")
            if len(head) < 8 or size < file.tell() - start:
                return ""
            if kind == b"uuid" and size <= MOST_BYTES and file.read(16) == MP4_UUID:
                return file.read(size - (file.tell() - start)).decode("utf-8", "replace")
            file.seek(start + size)
    return ""


def says_generated(packet: str) -> bool:
    """Whether an XMP packet says that what carries it was made by a trained model."""
    return re.search(rf"DigitalSourceType\W{{1,3}}{re.escape(GENERATED)}\b", packet) is not None
