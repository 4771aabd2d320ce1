"""The page of a GPU, from what scripts/gpu-check.sh has left in a folder.

    python3 bench/device/report.py FOLDER [PAGE]     default page: bench/results/<gpu>.md

Parts that did not run have no section, but 'machine', which says what the page is about, has to have run; what a variant of
PyTorch could not do is said with its reason.
"""
import json
import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

# What docs/adr/0009 takes for granted, beside the measure that decides about it.
ASSUMED = {
    ("launch", "us"): "3",
    ("second-level cache", "bytes a cycle and multiprocessor"): "24",
    ("clock", "MHz"): "1900",
}
PARITY = re.compile(r"^ +(float|double): worst .*$", re.M)


def lines_of(folder, name):
    """Objects of a file of JSON lines, or None where there is no such file. A line that was cut off is left out."""
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return None
    objects = []
    with open(path) as file:
        for line in file:
            try:
                objects.append(json.loads(line))
            except ValueError:
                continue
    return objects


def text_of(folder, name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return None
    with open(path) as file:
        return file.read()


def number(value):
    """Three figures, without an exponent."""
    if value is None:
        return ""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    if 0 < abs(value) < 0.1:
        digits = 4
    return f"{value:.{digits}f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def facts_of(folder):
    """What the part 'machine' has found."""
    return dict(line.split(": ", 1) for line in (text_of(folder, "facts.txt") or "").splitlines() if ": " in line)


def missing(folder):
    """Why there can be no page, or None: it would bear no GPU's name, or a wrong one."""
    facts = facts_of(folder)
    run = "run the part 'machine' first: bash scripts/gpu-check.sh machine report"
    if not facts:
        return f"there are no facts about the machine (facts.txt) in {folder}; {run}"
    measured = [
        name
        for name, key in (("roofline.jsonl", "value"), ("device.jsonl", "case"), ("compile.jsonl", "case"))
        if any(key in each for each in lines_of(folder, name) or [])
    ]
    if "GPU" not in facts and measured:
        return f"facts.txt names no GPU, but {measured[0]} has been measured on one; {run}"
    return None


def machine_section(folder):
    facts = facts_of(folder)
    name = facts.get("GPU", "a machine without a GPU")
    lines = [f"# {name}", "", "Drawn from what `bash scripts/gpu-check.sh` has left; not written by hand."]
    rows = [[key, value] for key, value in facts.items()]
    return name, "\n".join([*lines, "", table(["machine", ""], rows)] if rows else lines)


def parts_section(folder):
    summary = text_of(folder, "summary.txt")
    if summary is None:
        return None
    rows = [line.split(None, 1) for line in summary.splitlines() if line.strip()]
    parts = table(["part", "result"], rows)
    worst = [match.group(0).strip() for match in PARITY.finditer(text_of(folder, "parity.txt") or "")]
    told = "".join(f"\n- {line}" for line in worst)
    return f"## Parts\n\n{parts}" + (f"\n\nEvery cell and driver beside the CPU:\n{told}" if told else "")


def roofline_section(folder):
    measures = lines_of(folder, "roofline.jsonl")
    if not measures:
        return None
    rows = []
    for each in measures:
        if "skipped" in each:
            rows.append([each["measure"], "", each["skipped"], ""])
            continue
        assumed = ASSUMED.get((each["measure"], each["unit"]), "")
        rows.append([each["measure"], f"{number(each['value'])} {each['unit']}", each["of"], assumed])
    head = ["measure", "median", "of", "assumed by ADR 0009"]
    return f"## What the GPU can do, and what waiting costs\n\n{table(head, rows)}"


def ratio(theirs, ours):
    return f"{theirs / ours:.2f}" if theirs and ours else ""


def case_rows(results):
    rows, skipped = [], []
    for result in results:
        ours = [result.get("forwardMs"), result.get("stepMs")]
        first = [f"`{result['case']}`", number(ours[0]), number(ours[1])]
        timed = [peer for peer in result["peers"] if "forwardMs" in peer]
        skipped += [
            f"`{result['case']}`, {peer['variant']}: {peer['skipped']}" for peer in result["peers"] if "skipped" in peer
        ]
        for peer in timed or [{}]:
            rows.append(
                [
                    *first,
                    peer.get("variant", ""),
                    number(peer.get("forwardMs")),
                    number(peer.get("stepMs")),
                    ratio(peer.get("forwardMs"), ours[0]),
                    ratio(peer.get("stepMs"), ours[1]),
                    "" if peer.get("difference") is None else f"{peer['difference']:.1e}",
                ]
            )
            first = ["", "", ""]
    return rows, skipped


CASE_HEAD = ["case", "forward", "step", "PyTorch", "forward", "step", "ratio forward", "ratio step", "difference"]


def bench_section(title, objects):
    results = [each for each in objects if "case" in each]
    products = [each for each in objects if "product" in each]
    parts = [f"## {title}"]
    parts += [f"cuBLAS for the large products of training: {each['cublas']}." for each in objects if "cublas" in each]
    told = len(parts)
    if results:
        about = next((peer for result in results for peer in result["peers"] if "version" in peer), None)
        peer = f" PyTorch {about['version']}, {about['detail']}." if about else ""
        parts.append(
            "Milliseconds, medians of interleaved rounds; ratio: PyTorch's time over ours; difference: the largest one between "
            f"both sides' results.{peer}"
        )
        rows, skipped = case_rows(results)
        parts.append(table(CASE_HEAD, rows))
        plans = [f"- `{result['case']}`: {result['plan']}" for result in results if result["device"] != "cpu"]
        if plans:
            parts.append("What ran, by the model of sizes:\n\n" + "\n".join(plans))
        if skipped:
            parts.append("Not measured:\n\n" + "\n".join(f"- {line}" for line in skipped))
    if products:
        names = sorted({name for each in products for name in each["ms"]}, key=lambda name: (not name.startswith("ours"), name))
        rows = []
        for each in products:
            times = [each["ms"].get(name) for name in names]
            shape = " x ".join(str(n) for n in each["product"])
            rows.append([shape, *(number(t) if isinstance(t, (int, float)) else str(t or "") for t in times)])
        parts.append("Products at the shapes of weight gradients, m x n x k, milliseconds:")
        parts.append(table(["shape", *names], rows))
    left = [name for each in objects for name in each.get("left", [])]
    if left:
        parts.append("The time was up before: " + ", ".join(f"`{name}`" for name in left) + ".")
    failed = [each["failed"] for each in objects if "failed" in each]
    parts += [f"**Ours failed**: {reason}" for reason in failed]
    return "\n\n".join(parts) if len(parts) > told else None


def bench_sections(folder):
    sections = []
    device = lines_of(folder, "device.jsonl")
    if device:
        sections.append(bench_section("Our drivers beside PyTorch on the GPU", device))
    own = lines_of(folder, "device-own.jsonl")
    if own:
        sections.append(bench_section("Our drivers without cuBLAS", own))
    compiled = lines_of(folder, "compile.jsonl")
    if compiled:
        sections.append(bench_section("PyTorch's cells through torch.compile", compiled))
    names = [re.fullmatch(r"host-(\d+)\.jsonl", name) for name in os.listdir(folder)]
    for threads in sorted(int(match.group(1)) for match in names if match):
        title = f"The CPU of this machine, {threads} thread{'' if threads == 1 else 's'}"
        sections.append(bench_section(title, lines_of(folder, f"host-{threads}.jsonl")))
    return sections


def page(folder):
    name, head = machine_section(folder)
    sections = [head, parts_section(folder), roofline_section(folder), *bench_sections(folder)]
    return name, "\n\n".join(section for section in sections if section) + "\n"


def main(arguments):
    if not arguments or len(arguments) > 2 or not os.path.isdir(arguments[0]):
        print("usage: report.py FOLDER [PAGE]", file=sys.stderr)
        return 2
    reason = missing(arguments[0])
    if reason is not None:
        print(f"report.py: {reason}", file=sys.stderr)
        return 1
    name, text = page(arguments[0])
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    path = arguments[1] if len(arguments) == 2 else os.path.join(ROOT, "bench", "results", f"{slug}.md")
    with open(path, "w") as file:
        file.write(text)
    print(os.path.relpath(path))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
