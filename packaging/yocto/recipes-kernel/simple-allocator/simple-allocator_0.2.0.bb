# SPDX-License-Identifier: MIT
SUMMARY = "The kernel modules of libsa: /dev/cmaN and /dev/carveoutN"
LICENSE = "GPL-2.0-only"
LIC_FILES_CHKSUM = "file://../LICENSES/GPL-2.0-only.txt;md5=b234ee4d69f5fce4486a80fdaf4a4263"

inherit module
FILESEXTRAPATHS:prepend := "${LIBSA_SOURCES}:"
SRC_URI = "file://kernel file://include/sa/uapi file://LICENSES file://VERSION"
S = "${UNPACKDIR}/kernel"

EXTRA_OEMAKE += "KDIR=${STAGING_KERNEL_DIR}"
RPROVIDES:${PN} += "kernel-module-simple-allocator kernel-module-simple-allocator-cma kernel-module-simple-allocator-carveout"
