"""Runs stages and prints, as JSON in the last line, which parameters each has read: used by test_pipeline.py."""

import json
import runpy
import sys

from pydantic import BaseModel

from posernn import params

read = set()


class Recorder:
    """Stands for a section of the parameters and notes which of its values are read."""

    def __init__(self, section, path):
        self._section, self._path = section, path

    def __getattr__(self, name):
        if name == "entry":
            return self._entry
        if name == "model_dump":
            return self._dump
        return self._note(name)

    def _entry(self, name):
        found = self._section.entry(name)
        read.update(f"{name}.{key}" for key in self._section.entries[name])
        read.update(f"{found.arch}.{key}" for key in self._section.architectures[found.arch])
        read.update(f"{self._section.dataset}.{key}" for key in params.OF_DATASET + params.SCHEDULE_OF_DATASET)
        read.update(f"train.{key}" for key in params.Train.model_fields)
        return found

    def _note(self, name):
        value = getattr(self._section, name)
        # `data` is the section that `dataset` names
        path = [self._section.dataset] if not self._path and name == "data" else [*self._path, name]
        if isinstance(value, BaseModel):
            return Recorder(value, path)
        read.add(".".join(path))
        return value

    def _dump(self, include=None, exclude=()):
        names = include or type(self._section).model_fields
        values = {name: self._note(name) for name in names if name not in exclude}
        return {name: value._dump() if isinstance(value, Recorder) else value for name, value in values.items()}


def main():
    """Run commands, a JSON list of [module, arguments...], and print which parameters each has read."""
    load = params.load
    params.load = lambda *arguments: Recorder(load(*arguments), [])
    found = []
    for command in json.loads(sys.argv[1]):
        read.clear()
        sys.argv = command
        try:
            runpy.run_module(command[0], run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise
        found.append(sorted(read))
    print(json.dumps(found))


if __name__ == "__main__":  # worker processes of the stage import this file again
    main()
