"""Python that reproduces the attention panel: from a session to one head's map."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.panels.attention.measures import Cell, Direction
from workbench.panels.attention.split_view import SplitView
from workbench.panels.attention.work import NEW_TOKENS, Capture
from workbench.panels.code import session_code
from workbench.session import Session

__all__ = ["attention_code", "split_code"]


def attention_code(
    session: Session,
    captures: Sequence[Capture],
    measure: str,
    edges: Direction,
    all_slots: bool,
    cell: Cell,
    traced: bool,
    minus_clean: bool,
) -> str:
    """Write code that ends with `shown`, the open map, and `overview` if there is one.

    Args:
        session: whose models are shown.
        captures: one, or those of A and of B for their difference.
        measure, edges, all_slots, cell: the panel's settings.
        traced: whether the causal effect is shown, too.
        minus_clean: whether the captures are one model's, with the intervention and without.
    """
    request = captures[0].request
    if minus_clean:
        return _minus_clean(session, captures[0], measure, edges, all_slots, cell)
    response = "None" if request.answer is None else "session.example.answer"
    options = [f'of="{"all" if request.all_slots else "latents"}"']
    if request.answer is None:
        options.append(f"max_new_tokens={NEW_TOKENS}")
    if request.gradient:
        options.append('gradient="loss"')
    call = f"lc.capture_attention(model, session.prompt, {response}, {', '.join(options)})"
    sides = "ab"[: len(captures)]
    if len(captures) == 1:
        sides = "a" if request.adapter == session.adapter_a else "b"
    imports = ["import pandas as pd", ""] if traced and edges.target == "text" else []
    imports.append("import latent_core as lc")
    if traced:
        imports.append("from workbench.panels.attention.measures import DIRECTIONS, AttentionMaps")
    lines = [
        *imports,
        session_code(session),
        "",
        "",
        "def look(model, intervention):",
        "    with lc.parse_intervention(intervention).on(model):",
        f"        record = {call}",
        *_map_lines(measure, edges, all_slots, cell),
        "    return record, values[queries][:, columns]",
        "",
        "",
    ]
    lines += [
        f"record_{side}, map_{side} = look(session.model_{side}, {one.applied!r})"
        for side, one in zip(sides, captures, strict=True)
    ]
    lines.append("shown = map_a - map_b" if len(sides) == 2 else f"shown = map_{sides}")
    if measure == "raw":
        lines += _overview_lines(edges, sides[0])
    if traced:
        lines += _trace_lines(edges, sides, captures[0])
    return "\n".join(lines) + "\n"


def _minus_clean(
    session: Session, changed: Capture, measure: str, edges: Direction, all_slots: bool, cell: Cell
) -> str:
    """Write code that ends with `shown`, and `change` of the log-probability of each token."""
    request = changed.request
    model = "a" if request.adapter == session.adapter_a else "b"
    response = "model.backbone.encode_example(session.prompt, session.example.answer)[1]"
    if request.answer is None:
        response = (
            f"model.generate(session.prompt, {NEW_TOKENS}, return_details=True)[0].response_ids"
        )
    options = f'of="{"all" if request.all_slots else "latents"}"'
    options += ', gradient="loss"' if request.gradient else ""
    direction = None if all_slots else edges
    first = "[:, 1:]" if all_slots and edges.skip_first else ""
    lines = [
        "import latent_core as lc",
        "from workbench.panels.attention.measures import AttentionMaps, Cell, Direction, aligned",
        session_code(session),
        "",
        f"model = session.model_{model}",
        f"response = {response}",
        "",
        "",
        "def look(intervention):",
        "    with lc.parse_intervention(intervention).on(model):",
        f"        record = lc.capture_attention(model, session.prompt, response, {options})",
        "        chances = lc.token_probabilities(model, session.prompt, response)",
        '    return AttentionMaps(record), chances["log_probability"]',
        "",
        "",
        f"changed, log_changed = look({changed.applied!r})",
        'clean, log_clean = look("none")',
        "one, other, left_out = aligned(changed, clean)",
        f"what = {measure!r}, {cell!r}, {direction!r}",
        f"shown = one.head(*what)[0]{first} - other.head(*what)[0]{first}",
        "change = log_changed - log_clean",
    ]
    return "\n".join(lines) + "\n"


def split_code(session: Session, view: SplitView) -> str:
    """Write code that ends with `frames`, the cells of each split, and `effects` if they are shown.

    Args:
        session: whose model and task are shown.
        view: what is shown.
    """
    question, options = view.question, "progress=False"
    if view.without_first:
        options = f"without_first=True, {options}"
    lines = [
        "import latent_core as lc",
        session_code(session),
        "",
        f"model, task = session.models[{question.adapter!r}], session.task",
        f"with lc.parse_intervention({question.intervention!r}).on(model):",
        "    masses = [",
        f"        lc.attention_masses(model, task, split, {question.examples}, {options})",
        f"        for split in {list(question.splits)!r}",
        "    ]",
        "frames = [one.frame() for one in masses]",
    ]
    if question.far:
        lines.append("frames.append(masses[1].minus(masses[0]))")
    lines += [
        f"where = {dict(group=view.group, occurrence_role=view.role, direction=view.direction)!r}",
        "frames = [f[(f[list(where)] == list(where.values())).all(axis=1)] for f in frames]",
    ]
    if view.effects is not None:
        groups = {
            "groups by layer": "",
            "latents by layer": ", groups=lc.single_latents(model)",
            "heads by layer": f", groups={view.effects.group!r}, heads='each'",
        }[view.effects.sweep]
        lines += [
            f"with lc.parse_intervention({question.intervention!r}).on(model):",
            "    effects = [",
            f"        lc.mean_effect(model, task, split, {question.examples}{groups},",
            f"            queries={view.effects.queries!r}, progress=False)",
            f"        for split in {list(question.splits)!r}",
            "    ]",
        ]
    return "\n".join(lines) + "\n"


def _overview_lines(edges: Direction, side: str) -> list[str]:
    source, target, group, skip_first = edges
    if skip_first:
        return []  # the core's tables have all slots
    if group is None:
        chosen = f"source == '{source}' and target == '{target}'"
        return [f'overview = record_{side}.mass().query("{chosen}")']
    if (source, target) != ("text", "latent"):
        return []  # the core has no table of it
    return [
        f"groups = record_{side}.by_group()",
        f'overview = groups[groups["group"] == {group!r}]',
    ]


def _map_lines(measure: str, edges: Direction, all_slots: bool, cell: Cell) -> list[str]:
    one = f"record.select(layers=[{cell.layer}], heads=[{cell.head}])"
    values = {
        "raw": f"{one}.weights[0, 0]",
        "value-weighted": f"{one}.value_weighted()[0, 0]",
        "gradient x attention": f"{one}.gradient_weighted()[0, 0]",
        "rollout": f"record.rollout()[record.layers.index({cell.layer})]",
    }[measure]
    lines = [f"    values = {values}  # (query slots, key slots)"]
    first = 1 if edges.skip_first else 0
    if all_slots:
        slots = "list(range(len(record.slots)))"
        return [*lines, f"    queries = {slots}", f"    columns = queries[{first}:]"]
    named = "is not None" if edges.group is None else f"== {edges.group!r}"
    onto_latents = edges.target == "latent"
    source = "is None" if edges.source == "text" else "is not None" if onto_latents else named
    target = named if onto_latents else "is None"
    return [
        *lines,
        f"    queries = [t for t, slot in enumerate(record.slots) if slot.group {source}]",
        "    columns = [",
        f"        m for m, key in enumerate(record.keys) if record.slots[key].group {target}"
        + " and key > 0" * first,
        "    ]",
    ]


def _trace_lines(edges: Direction, side: str, one: Capture) -> list[str]:
    lines, answer = [f"model = session.model_{side}"], "session.example.answer"
    if one.request.answer is None:
        answer = "model.backbone.decode(ids)"
        lines.append(
            f"ids = [s.token_id for s in record_{side}.slots[record_{side}.prompt_length :] "
            "if s.group is None]"
        )
    pair = f"(session.prompt, {answer})"
    lines += [
        f"groups = list(record_{side}.groups)",
        f"with lc.parse_intervention({one.applied!r}).on(model):",
    ]
    if edges.target == "latent":
        queries = "verbal" if edges.source == "text" else "latents"
        lines.append(f'    effects = lc.trace(model, {pair}, groups=groups, queries="{queries}")')
    else:
        lines += [
            f"    effects = pd.concat([lc.trace(model, {pair}, groups=['verbal'], queries=group)",
            "        .assign(group=group) for group in groups])",
        ]
    name = str(edges._replace(group=None))
    lines.append(f"mass = AttentionMaps(record_{side}).by_group(DIRECTIONS[{name!r}])")
    if edges.group is not None:
        lines += [
            f'mass = mass[mass["group"] == {edges.group!r}]',
            f'effects = effects[effects["group"] == {edges.group!r}]',
        ]
    return [*lines, "agreement = lc.attention_against_effect(mass, effects)"]
