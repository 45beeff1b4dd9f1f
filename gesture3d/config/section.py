"""What every group of settings is made of."""

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Degrees = Annotated[float, Field(ge=0.0, le=180.0)]
Name = Annotated[str, Field(coerce_numbers_to_str=True)]  # of a subject or group: 7 is "7"


class Section(BaseModel):
    """A group of settings. Unknown keys and values of a wrong type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        for key, value in values.items() if isinstance(values, dict) else ():
            field = cls.model_fields.get(key)
            if (
                isinstance(value, bool)
                and field
                and bool not in (field.annotation, *get_args(field.annotation))
            ):
                raise ValueError(f"{key} = {value}: true and false are no values of it")
        return values
