# SPDX-License-Identifier: MIT
# Ratios as bars, on a logarithmic scale: left of 1 the library is faster.   gnuplot -e "data='D'; output_file='O'" plot.gnuplot
set terminal svg size 1000,30*system(sprintf("wc -l <'%s'", data))+120 font "sans,12" noenhanced background "white"
set output output_file
set title "Time of libsa over time of ..."
set logscale x 10
set xrange [0.01:100]
set yrange [-0.7:*] reverse
set offsets 0, 0, 0.7, 0
set grid x
set arrow from 1, graph 0 to 1, graph 1 nohead lw 2
set boxwidth 0.6
set style fill solid 0.6
unset key
plot data using (1):0:(1):($2):($0-0.3):($0+0.3):yticlabels(1) with boxxyerror lc rgb "#4070a0", \
     data using ($2 > 1 ? $2 * 1.1 : 1.1):0:(sprintf("%.3g", $2)) with labels left
