"""How soon a fresh workbench shows something, and each panel a change; in JupyterLab and Chromium.

The first picture: seconds from `Workbench(...)`, after the import, until the playground is drawn.
A change: from the click to the last thing that changes on the page, and what travels for it. The
memory of the kernel: before and after 200 changes of layer, head and slot.
Promised on two idle cores: 10 s for the first picture; 0.15 s for a change of one example's view,
0.25 s over a split; 300 kB a change; and no more memory after 200 changes.

    python benchmarks/panels.py
    python benchmarks/panels.py --backbone tiny --repeats 3
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from attention_panel import ROOT, Wire, execute, open_notebook
from browser import chromium_browser, jupyter
from playwright.sync_api import Page

MOST_FIRST, MOST_BYTES, MOST_GROWTH = 10.0, 300_000, 20e6
CHANGES = 200

FRESH = "wb = Workbench({backbone!r})\ndisplay(wb)"
COMPUTED = """
wb.attention.controls.side.value = 'B'
wb.attention.prepare()
wb.attention.controls.side.value = 'A'
wb.attention.prepare()
split = wb.attention.over_split
split.examples.value = 5
for wb.attention.controls.side.value in 'BA':
    wb.session.jobs.settle(split.start())
wb.comparison.prepare()
"""
MEMORY = """
import gc, os, psutil
gc.collect()
print(psutil.Process(os.getpid()).memory_info().rss)
"""
#: Seconds of a change: until nothing on the page has changed for half a second.
SETTLED = """async (step) => {
    const root = document.querySelector(".latent-workbench");
    let last = 0;
    const watch = new MutationObserver(() => (last = performance.now()));
    watch.observe(root, { subtree: true, childList: true, attributes: true, characterData: true });
    const start = performance.now();
    await Function(`return (async () => { ${step} })()`)();
    const waits = (now) => (last ? now - last < 500 : now - start < 10_000);
    while (waits(performance.now())) await new Promise((done) => setTimeout(done, 20));
    watch.disconnect();
    return last ? (last - start) / 1000 : NaN;
}"""
#: JavaScript that changes the list with a label to its next option.
NEXT = """
const labels = [...document.querySelectorAll(".latent-panel label, .latent-panel .widget-label")];
const label = labels.find((one) => one.checkVisibility() && one.textContent.trim() === {0!r});
const list = label.parentElement.querySelector("select");
list.selectedIndex = (list.selectedIndex + 1) % list.options.length;
list.dispatchEvent(new Event("change", {{ bubbles: true }}));
"""
#: To the other of A and B.
SIDE = """
const sides = [...document.querySelectorAll(".latent-panel .widget-toggle-button")]
    .filter((one) => one.checkVisibility() && ["A", "B"].includes(one.textContent.trim()));
sides.find((one) => !one.classList.contains("mod-active")).click();
"""
#: To another example, in code, as the playground's buttons do it.
EXAMPLE = """
const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
await kernel.requestExecute({ code: "wb.session.draw('id', {0} + 40)" }).done;
"""
SLOT = """
const slots = [...document.querySelectorAll(".latent-strip .latent-slot")]
    .filter((one) => one.checkVisibility());
slots[({0} * 7) % slots.length].click();
"""
TICK = """
[...document.querySelectorAll(".latent-panel input[type=checkbox]")]
    .filter((one) => one.checkVisibility())[2].click();
"""

#: By tab: the name of a change, its step, and the seconds that are promised.
STEPS: dict[str, list[tuple[str, str, float]]] = {
    "Playground": [("a slot's card", SLOT, 0.15)],
    "Attention": [
        ("layer", NEXT.format("Layer"), 0.15),
        ("head", NEXT.format("Head"), 0.15),
        ("group", NEXT.format("Latent group"), 0.15),
        ("side", SIDE, 0.15),
        ("example", EXAMPLE, 0.15),
        ("colours", NEXT.format("Colours"), 0.15),
    ],
    "Comparison": [("one curve more or less", TICK, 0.25)],
    "Hypotheses": [("another claim", NEXT.format("Claim"), 0.25)],
}
#: With the group that repeats, on the side that has two groups.
SPLIT = """
wb.attention.controls.side.value = 'A'
wb.attention.scope.value = 'over a split'
wb.attention.over_split.group.value = 'Comma'
"""
OVER_SPLIT = [
    ("over a split: occurrence", NEXT.format("Occurrence"), 0.25),
    ("over a split: direction", NEXT.format("Query → key"), 0.25),
    ("over a split: group", NEXT.format("Latent group"), 0.25),
    ("over a split: side", SIDE, 0.25),
    ("over a split: colours", NEXT.format("Colours"), 0.25),
]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="smollm2-135m", help="as load_backbone takes it")
    parser.add_argument("--repeats", type=int, default=5, help="medians of (default: %(default)s)")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyter(Path(folder), ROOT) as server,
        chromium_browser(options.chromium) as browser,
    ):
        page, wire = open_notebook(server, browser)
        kept = first_picture(page, options.backbone)
        execute(page, COMPUTED)
        for title, steps in STEPS.items():
            open_tab(page, title)
            kept &= all([measured(page, wire, title, options.repeats, *one) for one in steps])
        open_tab(page, "Attention")
        execute(page, SPLIT)
        page.wait_for_timeout(1500)
        for one in OVER_SPLIT:
            kept &= measured(page, wire, "Attention", options.repeats, *one)
        execute(page, "wb.attention.scope.value = 'one example'")
        return 0 if kept & memory(page) else 1


def first_picture(page: Page, backbone: str) -> bool:
    """Import, then open a workbench and wait for the responses of both sides."""
    loaded = float(
        execute(
            page,
            "import time; start = time.perf_counter()\nfrom workbench import Workbench\n"
            "import workbench.app\nprint(time.perf_counter() - start)",
        )
    )
    code = FRESH.format(backbone=backbone)
    page.evaluate(
        """(code) => {
            const { content } = jupyterapp.shell.currentWidget;
            content.activeCell.model.sharedModel.setSource(code);
            window.began = performance.now();
            jupyterapp.commands.execute("notebook:run-cell");
        }""",
        code,
    )
    seen = "document.querySelector('.latent-workbench .latent-slot')?.checkVisibility()"
    page.wait_for_function(seen)
    seconds = page.evaluate("(performance.now() - began) / 1000")
    page.wait_for_function(
        "jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
    )
    page.wait_for_function("/graded/.test(document.querySelector('.latent-workbench').textContent)")
    answered = page.evaluate("(performance.now() - began) / 1000")
    page.wait_for_function("!document.querySelector('[data-state=running], [data-state=queued]')")
    print(
        f"import: {loaded:.1f} s; first picture after it: {seconds:.1f} s; first response: "
        f"{answered:.1f} s",
        flush=True,
    )
    return bool(seconds <= MOST_FIRST)


def open_tab(page: Page, title: str) -> None:
    page.get_by_role("tab", name=title, exact=True).click()
    page.wait_for_timeout(3000)  # and the last picture of the other one has been made


def measured(
    page: Page, wire: Wire, title: str, repeats: int, name: str, step: str, most: float
) -> bool:
    """Print the medians of a change; whether they are as promised."""
    seconds, received = [], []
    for number in range(repeats):
        page.wait_for_timeout(2500)  # until the last picture has been made
        before = wire.received
        seconds.append(float(page.evaluate(SETTLED, step.replace("{0}", str(number)))))
        received.append(wire.received - before)
    took, sent = statistics.median(seconds), statistics.median(received)
    print(f"| {title} | {name} | {took:.3f} s | {sent / 1e3:,.0f} kB |", flush=True)
    return took <= most and sent <= MOST_BYTES


def memory(page: Page) -> bool:
    """Print how much the kernel grows in 200 changes, after as many that fill its stores."""
    sizes = []
    for _ in range(2):
        execute(
            page,
            f"for n in range({CHANGES}):\n"
            "    layers = wb.attention.chooser.layer.options\n"
            "    wb.attention.chooser.layer.value = layers[n % len(layers)]\n"
            "    wb.attention.strip.hovered = n % len(wb.attention.strip.slots)\n"
            "    if n % 20 == 0:\n"
            "        wb.session.draw('id', n // 20)\n"
            "        wb.attention.prepare()",
        )
        page.wait_for_timeout(4000)
        sizes.append(float(execute(page, MEMORY)))
    growth = sizes[1] - sizes[0]
    print(f"kernel: {sizes[1] / 1e6:,.0f} MB, {growth / 1e6:+.1f} MB in {CHANGES} changes")
    return growth <= MOST_GROWTH


if __name__ == "__main__":
    sys.exit(main())
