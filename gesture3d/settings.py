"""What every group of settings is made of.

Counts have upper bounds far above what anyone needs, so that a slip of the finger (or a stranger's
file) ends in a line and not in a machine without memory.
"""

from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from gesture3d.yaml_text import as_field

PositiveInt = Annotated[int, Field(ge=1, lt=2**31)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
BatchSize = Annotated[int, Field(ge=1, le=100_000)]
Frames = Annotated[int, Field(ge=1, le=10_000)]
LayerSize = Annotated[int, Field(ge=1, le=10_000)]  # units or channels
NumLayers = Annotated[int, Field(ge=1, le=100)]
Workers = Annotated[int, Field(ge=0, le=256)]  # processes that load batches; 0: none of their own
Rate = Annotated[float, Field(gt=0.0, le=1e6)]  # Hz
Factor = Annotated[float, Field(ge=0.01, le=100.0)]
NonNegative = Annotated[float, Field(ge=0.0, le=1e9)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Degrees = Annotated[float, Field(ge=0.0, le=180.0)]
Name = Annotated[str, Field(coerce_numbers_to_str=True)]  # of a subject or group: 7 is "7"
# Names of files may be bytes that are not UTF-8, which must survive.
Place = Annotated[Path, PlainSerializer(str, when_used="json")]


class Section(BaseModel):
    """A group of settings. Unknown keys and values of a wrong type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read_plain_text(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        read = dict(values)
        for key, value in values.items():
            field = cls.model_fields.get(key)
            if field is None:
                continue
            try:
                read[key] = as_field(value, field.annotation)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
            flags = [v for v in _flat(read[key]) if isinstance(v, bool)]
            if flags and bool not in (field.annotation, *get_args(field.annotation)):
                raise ValueError(f"{key} = {flags[0]}: true and false are no values of it")
        return read


def _flat(value: Any) -> list[Any]:
    return [v for item in value for v in _flat(item)] if isinstance(value, list) else [value]
