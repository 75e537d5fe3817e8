// SPDX-License-Identifier: MIT
/// @file export.hpp
/// Symbol visibility: the library is built with hidden visibility, and the declarations with SA_API are its binary
/// interface.
#pragma once

#ifdef _GLIBCXX_DEBUG // such a program would link, and crash where it is handed a std::vector
#error "libsa is built without _GLIBCXX_DEBUG, which gives containers another layout; use _GLIBCXX_ASSERTIONS instead"
#endif

/// A shared library or plugin that contains libsa.a is compiled with SA_STATIC, so that it exports nothing of libsa: two
/// plugins in one process can then contain two versions of it.
///
/// SA_PRIVATE marks a member of an SA_API class that its users cannot call, and that is not exported.
#ifdef SA_STATIC
#define SA_API
#define SA_PRIVATE
#else
#define SA_API __attribute__((visibility("default")))
#define SA_PRIVATE __attribute__((visibility("hidden")))
#endif
