"""All kinds of inputs by name."""

from . import arrays, pictures, texts, trained, videos

KINDS = {
    kind.name: kind
    for module in (videos, pictures, texts, arrays, trained)
    for kind in module.kinds()
}
