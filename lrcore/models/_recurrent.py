"""What the recurrent models share: they read an image row by row, from the top."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from lrcore.family import Flag, Number, Whole
from lrcore.models._base import ImageShape, Model, Module


class Recurrent(Model):
    """A recurrent network over the rows, with a linear layer on the last state; the member's name is torch's class."""

    hidden_size: Annotated[int, Whole(ge=1, le=4096)] = 128
    num_layers: Annotated[int, Whole(ge=1, le=16)] = 2
    dropout: Annotated[Number, Field(ge=0, lt=1)] = Field(0.0, description="after each recurrent layer but the last")
    bidirectional: Flag = Field(False, description="read from the bottom, too")

    @model_validator(mode="after")
    def _dropout_has_a_place(self) -> Self:
        if self.dropout and self.num_layers == 1:
            raise ValueError("dropout is after each recurrent layer but the last, and there is only one")
        return self

    def build(self, image_shape: ImageShape, num_classes: int) -> Module:
        from torch import nn

        from lrcore.models._layers import RowReader

        channels, _, width = image_shape
        options = self.model_dump(include=set(Recurrent.model_fields) - set(Model.model_fields))
        rnn = {"lstm": nn.LSTM, "gru": nn.GRU}[self.type](channels * width, batch_first=True, **options)
        return RowReader(rnn, num_classes)
