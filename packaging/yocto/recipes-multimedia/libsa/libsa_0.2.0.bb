# SPDX-License-Identifier: MIT
SUMMARY = "Memory that devices can share, from any heap of the machine"
DESCRIPTION = "Buffers of dma-heaps, CMA, udmabuf, carveouts, DRM and memfd behind one interface, for C++ and C, and the tool sactl"
SECTION = "libs"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSES/MIT.txt;md5=804bd1e0b6ed18e21d2b8106fdc7e4b8"

inherit meson pkgconfig externalsrc
EXTERNALSRC = "${LIBSA_SOURCES}"

DEPENDS = "fmt"

PACKAGECONFIG ??= "tools configuration"
PACKAGECONFIG[drm] = "-Ddrm=enabled,-Ddrm=disabled,libdrm"
PACKAGECONFIG[spdlog] = "-Dspdlog=enabled,-Dspdlog=disabled,spdlog"
PACKAGECONFIG[tools] = "-Dtools=enabled,-Dtools=disabled,cli11 nlohmann-json"
PACKAGECONFIG[gstreamer] = "-Dgstreamer=enabled,-Dgstreamer=disabled,gstreamer1.0 gstreamer1.0-plugins-base"
PACKAGECONFIG[configuration] = "-Dconfiguration=enabled -Dplugins=enabled,-Dconfiguration=disabled -Dplugins=disabled,tomlplusplus"
EXTRA_OEMESON = "-Dpython=disabled -Dconformance=disabled -Dexamples=disabled -Dbenchmarks=disabled -Dtests=disabled \
                 -Dudev_rules_dir=${nonarch_base_libdir}/udev/rules.d"

# The C library's soname stays, the C++ library's does not.
PACKAGES =+ "${PN}-c ${PN}-tools ${PN}-gstreamer"
FILES:${PN}-c = "${libdir}/libsa-c.so.*"
FILES:${PN}-tools = "${bindir}/sactl ${datadir}/bash-completion ${datadir}/zsh ${nonarch_base_libdir}/udev/rules.d"
FILES:${PN}-gstreamer = "${libdir}/gstreamer-1.0/*.so"
FILES:${PN}-dev += "${libdir}/cmake"
