// SPDX-License-Identifier: MIT
/// For startup.cpp: what any C++ program costs.
#include <string>

int main(int count, char** arguments) {
  return std::string(arguments[0]).size() > static_cast<std::size_t>(count) ? 0 : 1;
}
