"""Selections: globs and expressions over cells, and what cannot be read."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix.selection import FIELDS, SelectionError, compile_selection

CELL = {
    "id": "torch2.10.0-cu130-py3.12-torchao0.17.0",
    "torch": "2.10.0",
    "variant": "cu130",
    "accelerator": "cuda",
    "python": "3.12",
    "device": "cpu",
    "companion": "torchao==0.17.0",
}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        pytest.param("torch2.10.0-cu130-py3.12-torchao0.17.0", True, id="an-id"),
        pytest.param("torch2.10.*", True, id="a-glob"),
        pytest.param("*-py3.11*", False, id="another-glob"),
        pytest.param("torch[0-9]*", True, id="a-character-class"),
        pytest.param("torch>=2.9", True, id="2.10-is-newer-than-2.9"),
        pytest.param("torch<2.9", False, id="and-not-older"),
        pytest.param("torch==2.10", True, id="trailing-zeros-do-not-count"),
        pytest.param("torch==2.1*", True, id="a-glob-as-a-value"),
        pytest.param("torch<=2.10.0 and python>3.9", True, id="and"),
        pytest.param("variant==cpu or accelerator==cuda", True, id="or"),
        pytest.param(
            "variant==cpu and torch>1 or device==cpu", True, id="and-binds-tighter-than-or"
        ),
        pytest.param("variant==cpu and (torch>1 or device==cpu)", False, id="parentheses"),
        pytest.param("not variant==cpu", True, id="not"),
        pytest.param("not not variant==cpu", False, id="not-not"),
        pytest.param("variant!=cpu", True, id="unequal"),
        pytest.param("id~torchao", True, id="contains"),
        pytest.param("companion==torchao", True, id="a-companion-by-name"),
        pytest.param("companion==torchao==0.17.0", None, id="a-companion-with-version-is-a-glob"),
        pytest.param("companion==torch?o*", True, id="a-companion-by-glob"),
        pytest.param("companion==vllm", False, id="no-such-companion"),
        pytest.param("companion==none", False, id="it-has-a-companion"),
        pytest.param("companion!=none", True, id="any-companion"),
        pytest.param("  torch >= 2.9  ", True, id="spaces"),
    ],
)
def test_a_selection_matches_what_it_says(text, matches):
    if matches is None:
        with pytest.raises(SelectionError):
            compile_selection(text)
    else:
        assert compile_selection(text)(CELL) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "empty selection; write a cell id, a glob or an expression", id="nothing"),
        pytest.param(" \n", "empty selection; write a cell id, a glob or an expression",
                     id="blank"),
        pytest.param("trch>=2", "unknown field `trch` (did you mean `torch`?) at column 1 of "
                     "`trch>=2`", id="unknown-field"),
        pytest.param("torch=2.6", "expected one of == != < <= > >= ~ after `torch` at column 6 of "
                     "`torch=2.6`", id="single-equals"),
        pytest.param("torch>=", "a value is missing after `torch>=` at column 8 of `torch>=`",
                     id="no-value"),
        pytest.param("torch>=2 and", "a comparison is missing at column 13 of `torch>=2 and`",
                     id="dangling-and"),
        pytest.param("(torch>=2", "missing `)` at column 10 of `(torch>=2`", id="open-parenthesis"),
        pytest.param("torch>=2)", "unexpected `)` at column 9 of `torch>=2)`",
                     id="closed-parenthesis"),
        pytest.param("torch=='2.6'", "`torch=='2.6'` has quotes, which no id or value has; "
                     "write `torch==2.6`", id="quoted-value"),
        pytest.param('"torch2.6*"', '`"torch2.6*"` has quotes, which no id or value has; '
                     "write `torch2.6*`", id="quoted-glob"),
        pytest.param("torch2.6.0 torch2.7.0",
                     "unknown field `torch2.6.0` (did you mean `torch`?) at column 1 of "
                     "`torch2.6.0 torch2.7.0`", id="two-ids"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_shown_where_it_stands(text, message):
    with pytest.raises(SelectionError) as caught:
        compile_selection(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("(" * 400 + "torch>2" + ")" * 400, id="parentheses"),
        pytest.param("not " * 200 + "torch>2", id="negations"),
        pytest.param("torch>2 or " * 200 + "torch>2", id="terms"),
        pytest.param("torch>" + "9" * 5000, id="digits"),
    ],
)
def test_a_selection_has_bounds(text):
    """An absurd selection is the user's input, not a stack overflow."""
    with pytest.raises(SelectionError):
        compile_selection(text)


VALUES = st.text(min_size=1).filter(lambda v: not set(v) & set(" ()<>=!~*?[") and v.strip() == v)
TOKENS = st.sampled_from([*FIELDS, "==", "!=", "<", ">=", "~", "(", ")", "and", "or", "not", "2.6"])


@given(st.one_of(st.text(), st.lists(st.one_of(TOKENS, VALUES)).map(" ".join)))
@example("torch>=²")
@example("torch>\0")
def test_the_parser_raises_nothing_but_selection_errors(text):
    """Whatever is typed either selects or is refused with a reason."""
    try:
        predicate = compile_selection(text)
    except SelectionError as error:
        answer = str(error)
    else:
        answer = predicate(CELL) in {True, False}
    assert answer


versions = st.tuples(*[st.integers(0, 40)] * 3)
cells = st.builds(
    lambda torch, variant, python: {
        **CELL,
        "torch": ".".join(map(str, torch)),
        "variant": variant,
        "python": f"3.{python}",
        "id": f"torch{'.'.join(map(str, torch))}-{variant}-py3.{python}",
    },
    versions,
    st.sampled_from(["cpu", "cu118", "cu130", "rocm7.2", "rocm7.14"]),
    st.integers(8, 15),
)


@given(cells, versions, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
def test_comparisons_mean_what_integers_mean(cell, wanted, operator):
    """`torch>=2.9` is a comparison of integers, for every release there could be."""
    text = ".".join(map(str, wanted))
    have = tuple(map(int, cell["torch"].split(".")))
    meaning = {
        "<": have < wanted,
        "<=": have <= wanted,
        ">": have > wanted,
        ">=": have >= wanted,
        "==": have == wanted,
        "!=": have != wanted,
    }
    assert compile_selection(f"torch{operator}{text}")(cell) is meaning[operator]


expressions = st.recursive(
    st.tuples(st.sampled_from(["variant", "python"]), st.sampled_from(["cpu", "cu130", "3.11"])),
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=6,
)


def _written(tree):
    if tree[0] == "not":
        return f"not ({_written(tree[1])})"
    if tree[0] in {"and", "or"}:
        return f"({_written(tree[1])}) {tree[0]} ({_written(tree[2])})"
    return f"{tree[0]}=={tree[1]}"


def _meant(tree, cell):
    if tree[0] == "not":
        return not _meant(tree[1], cell)
    if tree[0] == "and":
        return _meant(tree[1], cell) and _meant(tree[2], cell)
    if tree[0] == "or":
        return _meant(tree[1], cell) or _meant(tree[2], cell)
    return cell[tree[0]] == tree[1]


@given(expressions, cells)
def test_an_expression_keeps_its_meaning(tree, cell):
    """What is written in words and parentheses is what is evaluated."""
    assert compile_selection(_written(tree))(cell) is _meant(tree, cell)


@given(cells)
def test_a_cells_own_id_selects_it(cell):
    assert compile_selection(cell["id"])(cell)


def test_none_is_a_cell_without_companions():
    assert compile_selection("companion==none")({**CELL, "companion": ""})
    assert not compile_selection("companion!=none")({**CELL, "companion": ""})
