"""All kinds of inputs by name."""

from . import arrays, kept, pictures, streams, texts, trained, videos

KINDS = {
    kind.name: kind
    for module in (videos, pictures, texts, arrays, streams, trained, kept)
    for kind in module.kinds()
}
