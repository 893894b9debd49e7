from typing import Annotated

from config_example.shapes.circle import Circle
from config_example.shapes.interface import Shape
from prosper_ng.components import OneOf, component


@component
class Group:
    """Several shapes that count as one."""

    members: tuple[Annotated[Shape, OneOf("config_example.shapes")], ...] = (Circle(radius=1),)
    """The shapes, groups among them if need be."""

    def area(self) -> float:
        return sum(member.area() for member in self.members)
