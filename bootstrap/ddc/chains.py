"""Opinions that come by another chain of tools: the language models, a proof, the knight, our own.

Each follows upstream's commands from hex0 on (`build_plan`), as far as it reaches, and gives what
the commands' outputs must be. A source that its language does not allow ends it, as a finding.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from collections.abc import Callable, Mapping, Sequence

from bootstrap.core.errors import BadInput
from bootstrap.ddc.build_paths import along, our_tools, paths
from bootstrap.instruments import default_engine
from bootstrap.known import EMBEDDED, find
from bootstrap.languages import hex2
from bootstrap.languages.fault import LanguageError
from bootstrap.languages.source import SourceText
from bootstrap.linux.limits import RunLimits
from bootstrap.machines import stage0
from bootstrap.machines.knight import Knight, KnightLimits
from bootstrap.prove import check
from bootstrap.runs.build_plan import BuildStep, plan
from bootstrap.runs.modelled import MODELS
from bootstrap.runs.opinions import Maker, Saying, Sight, code_of, engine_code
from bootstrap.sources import Cache, Resolved
from bootstrap.sources.checkouts import STAGE0, checkout_at, read_used

_BASES = {"x86": hex2.BASE_ADDRESS, "AMD64": 0x00600000}
"""Where programs of hex2 are loaded: `bootstrap.languages` has the hex1 and hex2 of these two."""
_EVERYWHERE = ("hex0", "catm")
"""Languages that are the same on every architecture."""


def _steps(resolved: Resolved) -> list[BuildStep]:
    """The commands up to the first compiler."""
    found = plan(resolved.tree, resolved.step)
    return found[: next((n for n, one in enumerate(found) if one.language == "C"), None)]


def _follow(
    resolved: Resolved,
    how: str,
    languages: Sequence[str],
    make: Callable[[BuildStep, Mapping[str, bytes]], bytes],
) -> Sight:
    """What `make` gives of each step in these languages whose inputs are there."""
    files = {path: file.data for path, file in resolved.tree.files.items()}
    made: dict[str, str | None] = {}
    for step in _steps(resolved):
        if step.language not in languages or not all(name in files for name in step.inputs):
            files.pop(step.output, None)
            continue
        try:
            files[step.output] = make(step, files)
        except LanguageError as error:
            return Sight(made, how, f"{step.output}: the {step.language} model refuses it: {error}")
        made[step.output] = hashlib.sha256(files[step.output]).hexdigest()
    return Sight(made, how)


def _models(resolved: Resolved, _entry: str, _tick: Saying) -> Sight:
    base = _BASES.get(resolved.step.arch)

    def make(step: BuildStep, files: Mapping[str, bytes]) -> bytes:
        sources = [SourceText(name, files[name]) for name in step.inputs]
        if step.language == "hex2" and base is not None:
            return hex2.assemble(sources, base).output
        return MODELS[step.language](sources)

    languages = _EVERYWHERE if base is None else tuple(MODELS)
    return _follow(resolved, f"models of {', '.join(languages)}", languages, make)


def _certificate(resolved: Resolved) -> tuple[bytes, bytes]:
    """The shipped certificate of the release's hex0 seed, and the seed. Raises BadInput."""
    step = resolved.step
    seed = step.seeds.get("hex0-seed")
    place = importlib.resources.files("bootstrap.prove") / "certificates" / f"{step.arch}.json"
    if seed is None or not place.is_file():
        raise BadInput(f"there is no certificate of a proof for {step.title}")
    return place.read_bytes(), resolved.tree.files[seed.path].data


def _proof(resolved: Resolved, _entry: str, _tick: Saying) -> Sight:
    """The certificate is checked here and now; then hex0 by the checker's own definition."""
    text, seed = _certificate(resolved)
    status, line = check.decide(text, seed)
    if status == 1 and json.loads(text)["sha256"] != hashlib.sha256(seed).hexdigest():
        raise BadInput(f"the shipped certificate is of another seed than {resolved.step.title} has")
    if status:
        return Sight({}, "prove.check", line)
    language = json.loads(text)["language"]
    dialect = (bool(language["G"]), bool(language["CR"]))

    def make(step: BuildStep, files: Mapping[str, bytes]) -> bytes:
        now, made = check.START, bytearray()
        for byte in b"".join(files[name] for name in step.inputs):
            now, written = check.step(now, byte, *dialect)
            made += written
        return bytes(made)

    return _follow(resolved, line, ("hex0",), make)


def _knight_rom() -> bytes:
    """The knight's hex0, from the checkout in the cache, by its published hash. Raises BadInput."""
    with checkout_at(None, STAGE0, Cache(), option="") as at:
        files = {path: file.data for path, file in read_used(STAGE0, at.folder).files.items()}
        return stage0.seed_of(at.folder, files)


def _knight(resolved: Resolved, _entry: str, tick: Saying) -> Sight:
    rom = _knight_rom()

    def make(step: BuildStep, files: Mapping[str, bytes]) -> bytes:
        tick(f"the knight: {step.output}")
        tape = b"".join(files[name] for name in step.inputs)
        return Knight(rom, tape, limits=KnightLimits(memory=1 << 20)).run()

    how = f"the ROM {stage0.SEED_SHA256}, which has the published hash, assembles the hex0 sources"
    return _follow(resolved, how, ("hex0",), make)


def _ours(resolved: Resolved, _entry: str, tick: Saying) -> Sight:
    if resolved.step.name == EMBEDDED:
        raise BadInput("the embedded sources are no second way beside themselves")
    engine, limits = default_engine(), RunLimits()
    tools = our_tools(engine, limits, _BASES[resolved.step.arch])
    path = next(one for one in paths(tools, engine, limits) if one.name == "ours")
    steps = plan(resolved.tree, resolved.step)
    found = along(path, steps, resolved.tree, lambda step: tick(f"our tools: {step.output}"))
    made = {name: hashlib.sha256(data).hexdigest() for name, data in found.made.items()}
    return Sight(
        {step.output: made.get(step.output) for step in steps},
        "our hex0 to M0, built from the same seed on our own sources, and the compiler they build",
        next(iter(found.failed.values()), None),
    )


_PLAN = ("ddc/chains.py", "runs/build_plan.py")


def _knight_inputs(_resolved: Resolved) -> dict[str, str]:
    rom = hashlib.sha256(_knight_rom()).hexdigest()
    return {"knight's hex0": rom, **code_of("machines/knight.py", *_PLAN)}


def _proof_inputs(resolved: Resolved) -> dict[str, str]:
    text, _ = _certificate(resolved)
    digest = hashlib.sha256(text).hexdigest()
    return {"certificate": digest, **code_of("prove/check.py", *_PLAN)}


def _our_inputs(_resolved: Resolved) -> dict[str, str]:
    """The step file of our own path has the hash of each of its sources."""
    own = find(EMBEDDED, None, "x86").sha256
    code = engine_code("ddc", "core", "linux", "instruments", "languages", "runs/rebuild.py")
    return {"our tools": own, **code}


MAKERS: Mapping[str, Maker] = {
    "models": Maker(_models, lambda _: code_of("languages", "runs/modelled.py", *_PLAN)),
    "proof": Maker(_proof, _proof_inputs),
    "knight": Maker(_knight, _knight_inputs),
    "ddc": Maker(_ours, _our_inputs),
}
