"""Schemes: what they take, their records and their states."""

import ast
from pathlib import Path

import numpy as np
import pytest

import functionals as fn
from jko.errors import UnsupportedFunctional
from jko.measures import Density, Gaussian, LineDensity, Particles, Species
from jko.scheme import KINDS, Problem, Records, Scheme, State, Status, StepInfo
from tests import problems


class OnlyHeat(Scheme):
    takes = frozenset({"entropy"})
    measures = (Density, Gaussian)


Scheme.known.pop(OnlyHeat.scheme_name())


def test_a_part_that_is_not_taken_is_refused_by_name_with_those_who_would():
    F = fn.Entropy() + fn.Power(2) + fn.Potential("quadratic")
    with pytest.raises(
        UnsupportedFunctional, match=r"OnlyHeat does not take Power\(2\); .* would take the whole"
    ) as caught:
        OnlyHeat().check(F, problems.density(1))
    for name in str(caught.value).split(";")[1].replace(" would take the whole functional", "").split(","):
        assert Scheme.known[name.strip()].takes >= {"entropy", "internal", "potential"}
    OnlyHeat().check(2 * fn.Entropy(), problems.density(1))
    OnlyHeat().check(fn.Entropy(), problems.gaussian(1))


def test_the_first_refused_kind_is_the_same_in_any_order():
    messages = set()
    for F in (fn.Power(2) + fn.Cap(9.0), fn.Cap(9.0) + fn.Power(2)):
        with pytest.raises(UnsupportedFunctional) as caught:
            OnlyHeat().check(F, problems.density(1))
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_measure_that_is_not_moved_is_refused():
    with pytest.raises(TypeError, match="moves Density or Gaussian, got Particles"):
        OnlyHeat().check(fn.Entropy(), problems.particles(1))


def test_every_scheme_declares_what_it_takes_and_moves():
    for name, scheme in Scheme.known.items():
        assert scheme.takes <= KINDS
        assert scheme.measures
        assert all(
            issubclass(kind, (Density, LineDensity, Particles, Gaussian, Species)) for kind in scheme.measures
        )
        assert scheme.order >= 1
        assert name == scheme.scheme_name()


def test_a_scheme_without_a_step_says_so():
    with pytest.raises(NotImplementedError, match="OnlyHeat must define step"):
        OnlyHeat().step(Problem(fn.Entropy()), problems.density(1), 0.0, 0.1, State())


def test_records_are_columns_of_step_infos():
    infos = [
        StepInfo(gap=0.1 * i, iterations=i, note="n" * i, status="converged" if i else "not converged")
        for i in range(4)
    ]
    records = Records.of(infos)
    assert records.n_steps == 4
    assert records.gap.dtype == float
    assert records["iterations"].tolist() == [0, 1, 2, 3]
    assert [records.row(i).note for i in range(4)] == ["", "n", "nn", "nnn"]
    assert not records.row(0).converged
    assert records.row(1).converged
    assert np.isnan(records.dissipation).all()
    both = Records.concatenate([records, Records.constant(2, iterations=9)])
    assert both.n_steps == 6
    assert both.iterations.tolist() == [0, 1, 2, 3, 9, 9]
    assert both.row(5).status == "converged"
    assert Records.concatenate([]).n_steps == 0
    assert set(both) == set(StepInfo().__dict__)
    with pytest.raises(AttributeError, match="a record has no 'gaps'; it has status, gap"):
        _ = records.gaps


def test_a_status_is_one_of_four():
    assert StepInfo(status="unstable").status is Status.UNSTABLE
    assert StepInfo(status="not converged") == StepInfo(status=Status.NOT_CONVERGED)
    with pytest.raises(ValueError, match="status: expected one of 'converged', 'not converged', 'inaccu"):
        StepInfo(status="fine")


def test_records_of_version_0_1_lack_the_transport_cost():
    older = {
        name: column for name, column in Records.constant(2, gap=1.0).items() if name != "transport_cost"
    }
    assert np.isnan(Records(older).transport_cost).all()
    assert Records.constant(2, transport_cost=0.5).row(1).transport_cost == 0.5
    del older["gap"]
    with pytest.raises(KeyError, match="gap"):
        Records(older)


def test_records_go_through_pickle_and_copy():
    import copy
    import pickle

    records = Records.constant(2, gap=1.0)
    for other in (copy.deepcopy(records), pickle.loads(pickle.dumps(records))):
        assert other.gap.tolist() == [1.0, 1.0]


def test_a_state_is_never_changed_in_place():
    state = State({"a": 1, "b": 1})
    assert state.having(b=2) == {"a": 1, "b": 2}
    assert state == {"a": 1, "b": 1}


class Moving(fn.Functional):
    """t times the mass."""

    def at(self, t):
        made = Moving()
        made.energy = lambda mu: t * mu.mass
        return made


def test_the_form_of_a_functional_is_made_once_for_a_time():
    forms = []
    still = Problem(fn.Entropy(), lambda F: forms.append(F) or len(forms))
    assert [still.at(t) for t in (0.0, 0.3, 0.0)] == [1, 1, 1]
    forms.clear()
    moving = Problem(Moving(), lambda F: forms.append(F) or len(forms))
    assert [moving.at(t) for t in (0.0, 0.3, 0.3, 0.0)] == [1, 2, 2, 3]
    other = moving.starting({"a": 1})
    assert other.start == {"a": 1}
    assert moving.start == {}
    assert other.at(0.0) == 3


@pytest.mark.slow
def test_no_control_flow_reads_a_note():
    """Notes are for people; what programs ask for stands in `details`."""
    asked = []
    for path in sorted((Path(__file__).parent.parent / "jko").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            called = (
                [node.func.value]
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                else []
            )
            asked += [
                f"{path.name}:{node.lineno}"
                for part in compared + called
                if isinstance(part, ast.Attribute) and part.attr == "note"
            ]
    assert not asked
