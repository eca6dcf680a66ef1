"""What capturing attention costs: memory beside `output_attentions=True`, time beside a forward.

Each peak of memory is taken in a process of its own, after the model is loaded and warm, so that
only what the pass itself needs is counted. The times are of plain SDPA forward passes and captures
in turn, in one process; they are the processor's, so that other work on the machine counts little.
Two promises are checked: a tenth of the memory, and at most 1.5 times the time.

    python benchmarks/attention_capture.py                  # SmolLM2: L=30, H=9, T=2048, M=64
    python benchmarks/attention_capture.py --dtype float32
    python benchmarks/attention_capture.py --slots 256 --latents 16 --repeats 5
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MAX_MEMORY, MAX_TIME = 0.1, 1.5
KINDS = ("forward", "capture", "output_attentions")


def main() -> int:
    options = read_options()
    if options.child:
        print(json.dumps(measure(options)))
        return 0
    results: dict[str, Any] = {}
    for kind in (*KINDS, "times"):
        command = [sys.executable, __file__, "--child", kind, *sys.argv[1:]]
        finished = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        results |= json.loads(finished.stdout.splitlines()[-1])
    memory = results["capture_mb"] / max(results["output_attentions_mb"], 1e-9)
    duration = results["capture_s"] / results["forward_s"]
    results |= {"memory_ratio": memory, "time_ratio": duration}
    print(
        "{backbone} in {dtype}: L={layers} H={heads} T={slots} M={latents}, "
        "{threads} thread(s)".format(**results)
    )
    for kind in KINDS:
        print(f"  peak memory of {kind:<18}{results[f'{kind}_mb']:10.1f} MB")
    print(f"  capture / output_attentions   {memory:10.3f}    promised: at most {MAX_MEMORY}")
    print(f"  a plain forward pass          {results['forward_s']:10.3f} s of the processor")
    print(f"  a capture                     {results['capture_s']:10.3f} s")
    print(f"  capture / forward             {duration:10.3f}    promised: at most {MAX_TIME}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if memory <= MAX_MEMORY and duration <= MAX_TIME else 1


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="smollm2-135m", help="as load_backbone takes it")
    parser.add_argument("--dtype", default="auto", help="of the weights (default: %(default)s)")
    parser.add_argument("--slots", type=int, default=2048, help="T (default: %(default)s)")
    parser.add_argument("--latents", type=int, default=64, help="M (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="timed pairs (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--child", choices=(*KINDS, "times"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not 0 < options.latents < options.slots - 2 or options.repeats < 1:
        parser.error("expected 0 < latents < slots - 2, and at least one repeat")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One kind's figures, in this process."""
    import torch

    import latent_core as lc

    torch.set_num_threads(options.threads)
    backbone = lc.load_backbone(options.backbone, dtype=options.dtype)
    model = lc.LatentModel(backbone, f"Start_{options.latents}")
    # Known tokenizers spell numbers digit by digit; the response is the end-of-sequence token.
    prompt = ("3141592653589793" * options.slots)[: options.slots - options.latents - 1]
    example = model.insert(prompt, "")
    if len(example.slots) != options.slots:
        raise SystemExit(
            f"{options.backbone} makes {len(example.slots)} slots of {len(prompt)} digits, "
            f"expected {options.slots}: this benchmark needs a tokenizer with a token per digit"
        )
    batch = model.batch([example])

    def forward() -> object:
        with torch.no_grad():
            return model.hidden_states(batch)

    def capture() -> object:
        return lc.capture_attention(model, prompt, "")

    def output_attentions() -> object:
        model.base_model.set_attn_implementation("eager")
        inputs = model.tables.mix(model.backbone.embed(batch.input_ids), batch.latent_rows)
        with torch.no_grad():
            return model.base_model.base_model(
                inputs_embeds=inputs,
                attention_mask=batch.attention_mask,
                position_ids=batch.position_ids,
                output_attentions=True,
                use_cache=False,
            )

    passes = {"forward": forward, "capture": capture, "output_attentions": output_attentions}
    lc.capture_attention(model, prompt[:8], "")  # warm: kernels loaded, attention probed
    if options.child != "times":
        before = reset_peak()
        kept = passes[options.child]()
        peak = (peak_memory() - before) / 1e6
        del kept
        return {f"{options.child}_mb": peak}
    seconds: dict[str, list[float]] = {"forward": [], "capture": []}
    for number in range(options.repeats + 1):
        for kind, times in seconds.items():
            start = time.process_time()
            passes[kind]()
            if number > 0:  # the first pair warms up at full length
                times.append(time.process_time() - start)
    config = model.base_model.config
    return {f"{kind}_s": statistics.median(times) for kind, times in seconds.items()} | {
        "backbone": options.backbone,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "slots": options.slots,
        "latents": options.latents,
        "threads": options.threads,
    }


def reset_peak() -> int:
    """Forget the peak of memory so far; the memory in use now, in bytes (Linux, glibc)."""
    # Memory that loading freed but the allocator kept would be used again without being counted.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    """The peak of resident memory since `reset_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
