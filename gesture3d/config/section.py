"""What every group of settings is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Degrees = Annotated[float, Field(ge=0.0, le=180.0)]
Name = Annotated[str, Field(coerce_numbers_to_str=True)]  # of a subject or group: 7 is "7"


class Section(BaseModel):
    """A group of settings. Unknown keys and values of a wrong type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
