# SPDX-License-Identifier: PostgreSQL
"""The table: medians over rounds, ratios within rounds. Pure but for save."""
import json
import os
from statistics import median

COLUMNS = ("target", "tps", "p50 ms", "p99 ms", "cpu us/tx", "user", "/relay", "/pgbouncer", "/pgweir", "calls/tx", "which")
COPY_COLUMNS = ("target", "MB/s", "cpu s/GB", "/relay", "/pgbouncer", "/pgweir")


def show(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def one_line(sample):
    if "error" in sample:
        return "error: " + sample["error"]
    if "mb_s" in sample:
        return f"{sample['mb_s']:8.0f} MB/s  {show(sample['cpu_s_gb'], 2)} s/GB"
    return f"{sample['tps']:8.0f} tps  p99 {show(sample['p99_ms'], 2)} ms  cpu {show(sample['cpu_us'], 1)} us/tx"


def middle(samples, field):
    values = [s[field] for s in samples if s.get(field) is not None]
    return median(values) if values else None


def ratio(mine, other, field):
    """The median of the ratios of each round: a noisy round hits both."""
    pairs = [(a[field], b[field]) for a, b in zip(mine, other) if a.get(field) and b.get(field)]
    return median(a / b for a, b in pairs) if pairs else None


def cells(results, scenario, name):
    samples = results.get((scenario.name, name), [])
    is_copy = scenario.script == "copy"
    field = "cpu_s_gb" if is_copy else "cpu_us"
    ratios = [show(ratio(samples, results.get((scenario.name, other), []), field), 2)
              for other in ("relay", "pgbouncer", "pgweir")]
    if not any("error" not in s for s in samples):
        return [name, "fails: " + samples[0]["error"]] if samples else None
    if is_copy:
        return [name, show(middle(samples, "mb_s"), 0), show(middle(samples, field), 2), *ratios]
    calls = results.get((scenario.name, name, "calls"))
    which = " ".join(f"{k} {v:.2f}" for k, v in sorted(calls["calls"].items(), key=lambda kv: -kv[1])) if calls else ""
    return [name, show(middle(samples, "tps"), 0), show(middle(samples, "p50_ms"), 2),
            show(middle(samples, "p99_ms"), 2), show(middle(samples, field), 1),
            show(middle(samples, "user_us"), 1), *ratios,
            show(calls["total"] if calls else None, 2), which]


def aligned(rows):
    full = [r for r in rows if len(r) > 2]
    widths = [max(len(r[i]) for r in full) for i in range(len(full[0]))]
    lines = []
    for r in rows:
        first = r[0].ljust(max(10, widths[0]))
        rest = [c.rjust(w) for c, w in zip(r[1:], widths[1:])] if len(r) > 2 else [r[1]]
        if len(r) == len(COLUMNS):
            rest[-1] = r[-1]
        lines.append(("  " + first + "  " + "  ".join(rest)).rstrip())
    return lines


def table(stage, scenarios, results, args, took):
    lines = [f"pgweir bench: {args.rounds} rounds of {args.seconds:g} s, medians; {os.cpu_count()} CPUs, "
             f"load {os.getloadavg()[0]:.1f}, {took:.0f} s in all"]
    for s in scenarios:
        rows = [list(COPY_COLUMNS if s.script == "copy" else COLUMNS)]
        rows += [c for c in (cells(results, s, t.name) for t in stage.targets(s)) if c]
        lines += ["", s.name, *aligned(rows)]
    lines += [""] + [f"left out: {m}" for m in stage.missing]
    return "\n".join(lines).rstrip() + "\n"


def save(folder, text, results):
    with open(os.path.join(folder, "bench-report.txt"), "w") as f:
        f.write(text)
    with open(os.path.join(folder, "bench-report.json"), "w") as f:
        json.dump({" ".join(k): v for k, v in results.items()}, f, indent=1)
        f.write("\n")
    print(f"written: {os.path.join(folder, 'bench-report.txt')}, bench-report.json")
