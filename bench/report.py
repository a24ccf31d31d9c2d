# SPDX-License-Identifier: MIT
"""Tables of ratios, geometric means, the CSV file, and the comparison with an earlier one."""

import csv
import math

FREEHOLD = "freehold"
NOISY = 0.20  # a row whose rounds spread wider than this is marked
BIG_KIB = 16 * 1024  # rows whose memory says something about the allocator and not about the process
LIMIT = 1.5  # a row above this ratio is counted
CSV_COLUMNS = ["case", "allocator", "median_ns", "min_ns", "max_ns", "peak_kib", "final_kib",
               "rounds", "user_ns", "system_ns", "status"]


def geometric_mean(values):
    return math.exp(sum(math.log(v) for v in values) / len(values)) if values else None


def show_time(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= 2 * size:
            return "%.2f %s" % (ns / size, unit)
    return "%.2f ns" % ns


def show_ratio(value):
    return "-" if value is None else "%.2f" % value


def print_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip())
    print()


class Report:
    """Ratios of one measure ("time", "peak" or "final") for all cases and peers."""

    def __init__(self, measure, by, cases, peers, results):
        self.measure = measure
        self.by = by
        self.peers = peers
        self.results = results
        self.cases = [c for c in cases if self.value(c, FREEHOLD) is not None]

    def value(self, case, name):
        result = self.results[case.name, name]
        if not result.good():
            return None
        value = result.time(self.by) if self.measure == "time" else result.median(self.measure)
        return value if value > 0 else None

    def ratio(self, case, peer):
        ours, theirs = self.value(case, FREEHOLD), self.value(case, peer.name)
        return None if ours is None or theirs is None else ours / theirs

    def best(self, case):
        """The peer with the smallest value in this row."""
        there = [p for p in self.peers if self.value(case, p.name) is not None]
        return min(there, key=lambda p: self.value(case, p.name)) if there else None

    def ratios(self, peer, wanted=lambda case: True):
        return {case.name: self.ratio(case, peer) for case in self.cases
                if wanted(case) and self.ratio(case, peer) is not None}

    def is_big(self, peer):
        def check(case):
            return max(self.value(case, FREEHOLD), self.value(case, peer.name) or 0) >= BIG_KIB
        return check

    def show_value(self, case, name):
        value = self.value(case, name)
        if value is None:
            return "failed" if self.results[case.name, name].failure else "-"
        return show_time(value) if self.measure == "time" else "%.1f" % (value / 1024)

    def noisy(self, case, best):
        return any(self.results[case.name, name].spread() > NOISY
                   for name in (FREEHOLD, best.name if best else FREEHOLD))

    def print_rows(self, title, all_cases):
        print(title)
        rows = [["case", FREEHOLD] + [p.name for p in self.peers] + ["best peer", "to best", ""]]
        for case in all_cases:
            best = self.best(case) if case in self.cases else None
            row = [case.name, self.show_value(case, FREEHOLD)]
            for peer in self.peers:
                failed = self.results[case.name, peer.name].failure
                row.append("failed" if failed else show_ratio(self.ratio(case, peer)))
            row += [best.name if best else "-", show_ratio(self.ratio(case, best) if best else None),
                    "~" if case in self.cases and self.measure == "time" and self.noisy(case, best)
                    else ""]
            rows.append(row)
        print_table(rows)

    def print_values(self, title, cases):
        print(title)
        names = [FREEHOLD] + [p.name for p in self.peers]
        print_table([["case"] + names] +
                    [[case.name] + [self.show_value(case, name) for name in names] for case in cases])

    def rated(self):
        """(ratio to the best peer of the row, case), the worst first."""
        pairs = [(self.ratio(c, self.best(c)), c) for c in self.cases if self.best(c)]
        return sorted(pairs, key=lambda pair: -pair[0])

    def print_worst(self, title, count):
        rated = self.rated()
        print(title)
        rows = [["case", FREEHOLD, "best peer", "its figure", "ratio"]]
        for ratio, case in rated[:count]:
            best = self.best(case)
            rows.append([case.name, self.show_value(case, FREEHOLD), best.name,
                         self.show_value(case, best.name), "%.2f" % ratio])
        print_table(rows)


def print_means(time_report, peak_report, final_report, cases, peers):
    print("Geometric means of freehold / peer over the rows that both have (below 1: freehold is better)")
    families = list(dict.fromkeys(case.family for case in cases))
    rows = [["peer", "time", "peak", "peak>=16M", "final"] + ["time:" + f for f in families] +
            ["rows", "worst row", ">%.2f" % LIMIT]]
    for peer in peers:
        times = time_report.ratios(peer)
        worst = max(times, key=times.get) if times else None
        def mean(values):
            return show_ratio(geometric_mean(list(values.values())))
        rows.append([peer.name, mean(times), mean(peak_report.ratios(peer)),
                     mean(peak_report.ratios(peer, peak_report.is_big(peer))),
                     mean(final_report.ratios(peer, lambda case: case.shows_final))] +
                    [mean(time_report.ratios(peer, lambda case, f=f: case.family == f))
                     for f in families] +
                    [str(len(times)), "%s %.2f" % (worst, times[worst]) if worst else "-",
                     str(sum(r > LIMIT for r in times.values()))])
    print_table(rows)


def print_verdict(name, report, peers):
    """One line: against the best peer overall, and against the best of each row."""
    means = {p.name: geometric_mean(list(report.ratios(p).values())) for p in peers if report.ratios(p)}
    if not means:
        return
    best = max(means, key=means.get)
    worst = report.ratios(next(p for p in peers if p.name == best))
    row = max(worst, key=worst.get)
    rated = report.rated()
    print("%s: %.2f of %s, the best peer overall; worst row against it %.2f (%s).\n"
          "      %.2f of the best of each row; %d of %d rows above %.2f of it." % (
              name, means[best], best, worst[row], row,
              geometric_mean([ratio for ratio, _ in rated]), sum(r > LIMIT for r, _ in rated),
              len(rated), LIMIT))


def print_report(options, cases, peers, results):
    reports = {m: Report(m, options.by, cases, peers, results) for m in ("time", "peak", "final")}
    what = {"median": "medians of wall time", "min": "least wall time",
            "cpu": "medians of processor time"}[options.by]
    print()
    reports["time"].print_rows(
        "Time: freehold's figure, then freehold / peer (%s, %d rounds; ~ spread above %d %%)" % (
            what, options.rounds, NOISY * 100), cases)
    reports["peak"].print_rows("Peak resident size: freehold's in MiB, then freehold / peer", cases)
    finals = [case for case in cases if case.shows_final]
    if finals:
        reports["final"].print_values("Final resident size in MiB", finals)
    if not peers or not reports["time"].cases:
        return
    reports["time"].print_worst("Worst rows in time, against the best peer of each row", 12)
    reports["peak"].print_worst("Worst rows in peak resident size", 6)
    print_means(reports["time"], reports["peak"], reports["final"], cases, peers)
    print_verdict("time", reports["time"], peers)
    print_verdict("peak", reports["peak"], peers)
    if options.by == "median" and options.rounds > 1:
        print_verdict("time by the least of the rounds instead of the median",
                      Report("time", "min", cases, peers, results), peers)


def print_failures(results):
    failed = [(key, result.failure) for key, result in results.items() if result.failure]
    if failed:
        print("\nFailed:")
        for (case, allocator), failure in failed:
            print("  %s under %s: %s" % (case, allocator, failure))
    return bool(failed)


def write_csv(path, header, cases, allocators, results):
    with open(path, "w", newline="") as file:
        for line in header:
            file.write("# %s\n" % line)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for case in cases:
            for allocator in allocators:
                result = results[case.name, allocator.name]
                if result.failure is not None or not result.samples:
                    status = "failed: " + result.failure if result.failure else "not run"
                    writer.writerow([case.name, allocator.name] + [""] * 5 +
                                    [len(result.samples), "", "", status])
                    continue
                times = [sample["ns"] for sample in result.samples]
                final = result.median("final")
                writer.writerow([case.name, allocator.name] +
                                ["%.3f" % t for t in (result.median("ns"), min(times), max(times))] +
                                ["%.0f" % result.median("peak"), "%.0f" % final if final >= 0 else "",
                                 len(times), "%.3f" % result.median("user"),
                                 "%.3f" % result.median("system"), "ok"])


def read_csv(path):
    try:
        with open(path, newline="") as file:
            rows = csv.DictReader(line for line in file if not line.startswith("#"))
            return {(row["case"], row["allocator"]): row for row in rows if row["status"] == "ok"}
    except KeyError as error:
        raise ValueError("no column %s" % error) from error


def print_comparison(path, old, cases, allocators, results):
    """Now over then, per allocator: the peers' columns show how much of it is the machine."""
    print("\nNow / %s (median wall time; the peers' columns show what the machine contributes)" % path)
    rows = [["case"] + [a.name for a in allocators]]
    ratios = {a.name: [] for a in allocators}
    for case in cases:
        row = [case.name]
        for allocator in allocators:
            result, before = results[case.name, allocator.name], old.get((case.name, allocator.name))
            ratio = None
            if result.good() and before:
                ratio = result.median("ns") / float(before["median_ns"])
                ratios[allocator.name].append(ratio)
            row.append(show_ratio(ratio))
        rows.append(row)
    rows.append(["geometric mean"] + [show_ratio(geometric_mean(ratios[a.name])) for a in allocators])
    print_table(rows)
