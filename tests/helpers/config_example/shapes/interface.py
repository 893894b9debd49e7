from typing import ClassVar, Protocol


class Shape(Protocol):
    kind: ClassVar[str]

    def area(self) -> float: ...
