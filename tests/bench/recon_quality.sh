#!/usr/bin/env bash
# Contrast recovery against background variability: NEMA spheres of two contrasts, and the spheres of STIR's reference problem
# in our images and in STIR's. Runs the two tests that measure them and draws what they measured.
#   tests/bench/recon_quality.sh BUILD_FOLDER [OUT_FOLDER]      writes nema_8.csv, nema_4.csv, stir.csv and contrast.png
set -euo pipefail
build=${1:?the build folder, say build/release} out=${2:-recon_quality}
for test in recon_validation_test recon_reference_test; do
  [ -x "$build/bin/$test" ] || { echo "$build/bin/$test is not built: cmake --build $build --target $test" >&2; exit 2; }
done
mkdir -p "$out"
export TOMOGRID_CURVES=$out
"$build/bin/recon_validation_test" --gtest_brief=1 --gtest_filter='*Nema*'
"$build/bin/recon_reference_test" --gtest_brief=1 --gtest_filter='*Spheres*'
command -v gnuplot >/dev/null || { echo "no picture: gnuplot is not installed" >&2; exit 0; }
curve() { echo "'<grep \"^$2,$3,\" $out/$1.csv' using (100*\$5):(100*\$4) with linespoints lc $4 $5"; }  # FILE METHOD SPHERE COLOUR STYLE
lines() {  # lines FILE METHOD STYLE SPHERE...: a curve for each, its points the iterations; dashed ones are not in the key
  local file=$1 method=$2 style=$3 colour=0 sphere title
  shift 3
  for sphere in "$@"; do
    colour=$((colour + 1)) title="title '$sphere mm'"
    [ -z "$style" ] || title=notitle
    printf '%s%s' "${join-}" "$(curve "$file" "$method" "$sphere" "$colour" "$style $title")"
    join=', '
  done
}
gnuplot <<PLOT
set terminal pngcairo size 1500,560 font ',10'
set output '$out/contrast.png'
set datafile separator comma
set multiplot layout 1,3
set grid
set key bottom right font ',8'
set xlabel 'background variability, %'
set ylabel 'contrast recovery, %'
set yrange [0:110]
set title 'NEMA 8:1, OSEM of 6 subsets, 2 to 20 iterations'
plot $(join=''; lines nema_8 'OSEM 6' '' 37 28 22 17 13 10)
set title 'NEMA 4:1, the same'
plot $(join=''; lines nema_4 'OSEM 6' '' 37 28 22 17 13 10)
set title 'reference problem, ML-EM, 2 to 20 iterations; dashed: STIR (44 mm is cold)'
plot $(join=''; lines stir Tomogrid '' 60 44 34 26 20 14; join=', '; lines stir STIR 'dt 2 pt 6' 60 44 34 26 20 14)
unset multiplot
PLOT
echo "$out/contrast.png"
