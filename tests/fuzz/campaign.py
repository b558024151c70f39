"""Random problems by the thousand: `python -m tests.fuzz --count 10000 --jobs 2`; one by `--seed N`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import time
from collections import Counter

from tests.fuzz.checks import answer, asked, disagreements, faults
from tests.fuzz.scope import scoped


def examine(seed: int, n_steps: int = 1, only=None, in_units: bool = True, draw=scoped):
    """(seed, its problem in words, what is wrong, statistics)."""
    posed, answers, wrong, counted = draw(seed, in_units), [], [], Counter()
    for name, trial in asked(posed).items():
        if only and name not in only:
            continue
        said = answer(posed, name, trial, n_steps)
        answers.append(said)
        if said.fault:
            wrong.append(f"{name}: {said.fault}")
            counted[name, "fault"] += 1
        elif said.run is None:
            counted[name, "refused or failed"] += 1
        else:
            found = faults(posed, said.run)
            wrong += [f"{name}: {text}" for text in found]
            counted[name, "fault" if found else "answered"] += 1
        counted[name, "ms"] += int(1000 * said.seconds)
    for text in disagreements(posed, answers):
        wrong.append(text)
        counted[text.split(" ")[0], "worse"] += 1
    counted[posed.label.partition(":")[0].partition(",")[0] if posed.trials else "box", "problems"] += 1
    return seed, posed.label, wrong, counted, answers


def _quiet(job):
    try:
        seed, label, wrong, counted, _ = examine(*job)
    except Exception as error:  # of the checks themselves: one problem is not to end thousands
        return job[0], "not examined", [f"{type(error).__name__}: {error}"], Counter()
    return seed, label, wrong, counted


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, help="one problem, with everything that was said of it")
    parser.add_argument("--engine", action="append", help="only these engines, such as steps.Quantile")
    asked = parser.parse_args(arguments)
    if asked.seed is not None:
        return _one(asked)
    jobs = [(seed, asked.steps, asked.engine) for seed in range(asked.start, asked.start + asked.count)]
    # programs that are used once are compiled quickly, as in the tests; an interrupt ends with the summary
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started, total, bad, done = time.monotonic(), Counter(), 0, 0
    # a process needs some 17 s for its first programs, and holds .7 GB after thirty problems as after ninety
    with multiprocessing.get_context("spawn").Pool(asked.jobs, maxtasksperchild=1000) as pool:
        try:
            for seed, label, wrong, counted in pool.imap_unordered(_quiet, jobs):
                total.update(counted)
                bad, done = bad + bool(wrong), done + 1
                for text in wrong:
                    print(f"seed {seed}: {label}\n    {text}", flush=True)
                if done % 100 == 0:
                    print(f"{done} problems, {bad} with faults", flush=True)
        except KeyboardInterrupt:
            pool.terminate()
    cost = sum(n for (_, what), n in total.items() if what == "ms") / 1000.0
    each = f"{cost / max(done, 1):.2f} CPU s a problem"
    print(f"{bad} of {done} problems with faults, {time.monotonic() - started:.0f} s, {each}")
    for name in sorted({key[0] for key in total}):
        row = {what: n for (engine, what), n in total.items() if engine == name}
        print(f"  {name}: " + ", ".join(f"{what} {n}" for what, n in sorted(row.items())))
    return 1 if bad else 0


def _one(asked) -> int:
    seed, label, wrong, _, answers = examine(asked.seed, asked.steps, asked.engine)
    print(f"seed {seed}: {label}")
    posed = scoped(seed)
    start = posed.F(posed.mu)
    for said in answers:
        if said.run is None:
            print(f"  {said.engine} ({said.seconds:.2f} s): {said.fault or said.refusal}")
        else:
            fall = start - posed.F(said.run.measures[1])
            info = said.run.info.row(0)
            print(f"  {said.engine} ({said.seconds:.2f} s): F falls by {fall:.6g}, {info}")
    for text in wrong:
        print(f"  WRONG {text}")
    return 1 if wrong else 0
