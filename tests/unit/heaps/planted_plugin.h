/* SPDX-License-Identifier: MIT */
/* What the planted plugin notes, exported as planted_calls. */
#ifndef PLANTED_PLUGIN_H
#define PLANTED_PLUGIN_H

struct planted_calls {
  int loaded; /* runs of its constructor */
  int asked;  /* calls of sa_heap_plugin_1() */
  int allocated;
  int released;
};

#endif
