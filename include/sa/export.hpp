// SPDX-License-Identifier: MIT
/// @file export.hpp
/// Symbol visibility: the library is built with hidden visibility, what carries SA_API is its ABI.
#pragma once

#define SA_API __attribute__((visibility("default")))
