#!/usr/bin/env python3
"""Curves of a reconstruction's iteration over MPI ranks: pure MPI, and 2 and 4 threads in each rank.

    tests/bench/recon_ranks.py --program build/release/bin/tomogrid-recon --out ranks
writes ranks.csv, and ranks.png where gnuplot is installed. Standard library only.
A row with more threads than cores is marked oversubscribed: it shows that the result and the bytes hold, not a speed.
"""
import argparse, csv, json, os, shutil, statistics, subprocess, sys

def run(program, ranks, threads, cores, arguments):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OMPI_MCA_pml="ob1", OMPI_MCA_btl="self,vader",
                       OMPI_MCA_mpi_yield_when_idle="1" if ranks * threads > cores else "0")
    command = ["mpirun", "-n", str(ranks), "--oversubscribe",
               *(["--bind-to", "core"] if threads == 1 and ranks <= cores else ["--bind-to", "none"]),
               *(["--allow-run-as-root"] if os.geteuid() == 0 else []), program, "bench", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])

def plot(table, picture):
    if shutil.which("gnuplot") is None:
        print("no picture: gnuplot is not installed", file=sys.stderr)
        return
    lines = ", ".join(f"'{table}' using (column('threads')=={t} ? column('ranks') : NaN):'iteration_s' "
                      f"with linespoints title '{'MPI' if t == 1 else f'MPI x {t} threads'}'" for t in (1, 2, 4))
    script = (f"set terminal pngcairo size 900,600; set output '{picture}'; set datafile separator comma; "
              "set logscale xy 2; set grid; set xlabel 'ranks'; set ylabel 'seconds per iteration (least)'; "
              f"set key top right; plot {lines}")
    subprocess.run(["gnuplot", "-e", script], check=True)

def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--program", required=True, help="tomogrid-recon")
    options.add_argument("--out", default="recon_ranks", help="stem of the CSV and the PNG")
    options.add_argument("--ranks", default="1,2,3,4,6,8,12,16")
    options.add_argument("--iterations", default="10")
    options.add_argument("--case", default="standard", choices=["standard", "small"])
    options.add_argument("--data", help="stir-reference folder with n128/proj_att_noisy.s; else counts are made")
    options.add_argument("--pairs", type=int, default=5, help="runs of one and of two ranks in turn")
    given = options.parse_args()
    cores = len(os.sched_getaffinity(0))
    arguments = ["--iterations", given.iterations, "--case", given.case]
    arguments += ["--data", given.data] if given.data else []
    fingerprints = set()
    with open(given.out + ".csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ranks", "threads", "iteration_s", "iteration_s_median", "bytes_per_iteration", "peak_mib_most",
                       "oversubscribed"])
        for threads in (1, 2, 4):
            for ranks in map(int, given.ranks.split(",")):
                r = run(given.program, ranks, threads, cores, arguments)
                fingerprints.add(r["volume_fingerprint"])
                rows.writerow([ranks, threads, f"{r['iteration_s_min']:.5f}", f"{r['iteration_s_median']:.5f}",
                               int(r["bytes_sent_per_iteration"]), round(r["peak_rss_mib_most"]),
                               "yes" if ranks * threads > cores else "no"])
                file.flush()
    plot(given.out + ".csv", given.out + ".png")
    if len(fingerprints) != 1:
        sys.exit(f"the volumes differ between runs: {fingerprints}")
    print(f"{given.out}.csv: {cores} cores; all volumes have the fingerprint {fingerprints.pop()}")
    if cores >= 2 and given.pairs > 0:
        ratios = {"iteration_s_min": [], "iteration_s_median": []}
        for _ in range(given.pairs):
            one, two = (run(given.program, n, 1, cores, arguments) for n in (1, 2))
            for name, values in ratios.items():
                values.append(one[name] / two[name])
        for name, values in ratios.items():
            print(f"two ranks over one, {name}: {statistics.median(values):.2f} "
                  f"({min(values):.2f} to {max(values):.2f}, {given.pairs} pairs)")

main()
