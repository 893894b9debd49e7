"""From the points of a campaign to checked configurations of runs."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from prosper_ng.campaigns.campaign_config import CampaignConfig
from prosper_ng.campaigns.expansion import Assignment, Fault, Where
from prosper_ng.config.canonical import dotted, inline
from prosper_ng.config.loaded import Loaded
from prosper_ng.config.loader import checked, read_file, read_tree
from prosper_ng.config.mistakes import ConfigError, Mistake, Place, SourceText, did_you_mean
from prosper_ng.config.overrides import Override, apply, read_name
from prosper_ng.config.tree import MappingNode, Node, ScalarNode, child, copied
from prosper_ng.errors import UserError
from prosper_ng.paths import path_of

if TYPE_CHECKING:
    from prosper_ng.experiments.run_config import RunConfig

BASE, SET = "base", "set"
"""Keys that name no value of a configuration but where values come from."""


class Campaign(NamedTuple):
    """A campaign's file, read and checked."""

    path: Path
    text: SourceText
    tree: MappingNode
    config: CampaignConfig

    def place(self, where: Where) -> Place:
        """Where a value is written; the nearest thing around it where it is not written itself."""
        node: Node | None = self.tree
        place = replace(self.tree.place, width=0)
        for step in where:
            key = node.keys.get(str(step)) if isinstance(node, MappingNode) else None
            node = child(node, step)
            place = key or (node.place if node else place)
        return node.place if isinstance(node, ScalarNode) else place

    def node(self, where: Where) -> Node | None:
        """The part of the tree at `where`."""
        node: Node | None = self.tree
        for step in where:
            node = child(node, step)
        return node

    def error(self, faults: Sequence[Fault]) -> ConfigError:
        """The faults as mistakes at their places."""
        return ConfigError(Mistake(self.place(fault.where), fault.message) for fault in faults)


def read_campaign(path: Path, overrides: Sequence[str] = ()) -> Campaign:
    """The campaign of a file, changed by overrides such as `repeats=2`. Raises ConfigError with all that is wrong."""
    text = read_file(path)
    mistakes: list[Mistake] = []
    tree = read_tree(text, CampaignConfig, overrides, mistakes)
    return Campaign(path, text, tree, checked(tree, CampaignConfig, mistakes, text.text).value)


class _Assigned(NamedTuple):
    """A value for a key of a run's configuration."""

    key: str
    node: Node
    key_place: Place
    title: str
    """What gave it: an axis, a set, or all runs."""


class Points:
    """Makes configurations of runs from points; reads each base file once."""

    def __init__(self, campaign: Campaign) -> None:
        """Nothing is read yet."""
        self.campaign = campaign
        self.texts: dict[str, str] = {}
        """The base files that were read, by path."""
        self._trees: dict[str, MappingNode] = {}

    def base_of(self, point: Assignment) -> str | None:
        """The base file as it is written; None where there is none."""
        return self._base(point)[0]

    def gives_seed(self, point: Assignment) -> bool:
        """Whether the campaign's file gives the seed of the point itself."""
        return any(assigned.key == "seed" for assigned in self._assigned(point))

    def loaded(self, point: Assignment) -> "Loaded[RunConfig]":
        """The configuration of a point, its seed not yet derived. Raises ConfigError with all that is wrong."""
        from prosper_ng.experiments.run_config import RunConfig

        mistakes: list[Mistake] = []
        root = copied(self._base_tree(point))
        assert isinstance(root, MappingNode)
        titles: dict[str, str] = {}
        for assigned in self._assigned(point):
            steps = read_name(assigned.key, assigned.key_place)
            if steps is None:
                message = f"`{assigned.key}` is no key; a key reads like model.n_latents"
                mistakes.append(Mistake(assigned.key_place, message))
                continue
            apply(Override(steps, assigned.node), root, mistakes)
            titles[assigned.key] = assigned.title
        try:
            found = checked(root, RunConfig, mistakes, "")
        except ConfigError as error:
            raise self._of_point(error, point) from None
        return replace(found, origins=_named_origins(found.origins, titles))

    def _of_point(self, error: ConfigError, point: Assignment) -> ConfigError:
        values = ", ".join(f"{key}={inline(cell.value)}" for key, cell in point.items())
        return _annotated(error, (f"in the run of {values}",) if values else ())

    def _assigned(self, point: Assignment) -> Iterator[_Assigned]:
        """What is set on top of the base, in this order: values for all runs, the set, the axes."""
        yield from self._mapping(("fixed",), "all runs")
        if SET in point:
            name = str(point[SET].value)
            yield from self._mapping(("sets", name), f"set {name}")
        for key, cell in point.items():
            if key in (BASE, SET):
                continue
            place = self.campaign.place(cell.where)
            node = self.campaign.node(cell.where)
            if not _is_written(node, cell.value):
                node = ScalarNode(place, cell.value, str(cell.value))
            assert node is not None
            yield _Assigned(key, node, self._key_place(cell.where, key), f"axis {key}")

    def _mapping(self, where: Where, title: str) -> Iterator[_Assigned]:
        mapping = self.campaign.node(where)
        if isinstance(mapping, MappingNode):
            for key, node in mapping.items.items():
                if key not in (BASE, SET):
                    yield _Assigned(key, node, mapping.keys[key], title)

    def _key_place(self, where: Where, key: str) -> Place:
        """Where the key of an axis is written."""
        end = len(where) - tuple(reversed(where)).index(key)
        mapping = self.campaign.node(where[: end - 1])
        return mapping.keys[key] if isinstance(mapping, MappingNode) else self.campaign.place(where)

    def _base(self, point: Assignment) -> tuple[str | None, Where]:
        config = self.campaign.config
        if BASE in point:
            return str(point[BASE].value), point[BASE].where
        name = str(point[SET].value) if SET in point else None
        if name is not None and BASE in config.sets.get(name, {}):
            return str(config.sets[name][BASE]), ("sets", name, BASE)
        return config.base, (BASE,)

    def _base_tree(self, point: Assignment) -> MappingNode:
        from prosper_ng.experiments.run_config import RunConfig

        if SET in point and point[SET].value not in self.campaign.config.sets:
            name, sets = str(point[SET].value), self.campaign.config.sets
            message = f"there is no set `{name}`{did_you_mean(name, sets)}; `sets` has {', '.join(sets) or 'none'}"
            raise self.campaign.error([Fault(point[SET].where, message)])
        base, where = self._base(point)
        if base is None:
            message = "a run needs a base: `base: FILE` with a run's YAML file, for all, as an axis, or in a set"
            raise self.campaign.error([Fault((), message)])
        path = os.path.normpath(self.campaign.path.parent / self._path_of(base, where))
        if path not in self._trees:
            try:
                text = replace(read_file(path), order=-1)
                self._trees[path] = read_tree(text, RunConfig)
            except ConfigError as error:
                note = f"this is the base that is named at {self.campaign.place(where)}"
                raise _annotated(error, (note,)) from None
            self.texts[path] = text.text
        return self._trees[path]

    def _path_of(self, base: str, where: Where) -> Path:
        try:
            return path_of(base)
        except UserError as error:
            raise self.campaign.error([Fault(where, str(error))]) from None


def _annotated(error: ConfigError, notes: tuple[str, ...]) -> ConfigError:
    return ConfigError(replace(mistake, notes=(*mistake.notes, *notes)) for mistake in error.mistakes)


def value_at(resolved: Mapping[str, Any], key: str) -> Any:
    """The value of a resolved configuration under a dotted key, None where there is none."""
    return _value_at(resolved, key, "")


def _value_at(value: Any, key: str, name: str) -> Any:
    entries = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for step, item in entries:
        full_name = dotted(name, step)
        if full_name == key:
            return item
        if key.startswith(f"{full_name}."):
            return _value_at(item, key, full_name)
    return None


def _is_written(node: Node | None, value: Any) -> bool:
    """Whether the node holds the value, rather than a range that it was drawn from."""
    return node is not None and not (isinstance(node, MappingNode) and not isinstance(value, Mapping))


def _named_origins(origins: Mapping[str, str], titles: Mapping[str, str]) -> dict[str, str]:
    """The origins, those of assigned values with what gave them."""
    named = dict(origins)
    for name, origin in origins.items():
        for key, title in titles.items():
            if name == key or name.startswith(f"{key}."):
                named[name] = f"{origin}, {title}"
    return named
