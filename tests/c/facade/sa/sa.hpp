// SPDX-License-Identifier: MIT
#pragma once

#include <sa/heap.hpp>
