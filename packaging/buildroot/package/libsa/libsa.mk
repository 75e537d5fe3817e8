# SPDX-License-Identifier: MIT
################################################################################
#
# libsa
#
################################################################################

# The checkout, or the unpacked release, that this folder lies in.
LIBSA_SITE = $(realpath $(BR2_EXTERNAL_LIBSA_PATH)/../..)
LIBSA_SITE_METHOD = local
LIBSA_VERSION = $(shell cat $(LIBSA_SITE)/VERSION)
LIBSA_LICENSE = MIT, GPL-2.0 (kernel modules), GPL-2.0 with Linux-syscall-note or MIT (kernel interface)
LIBSA_LICENSE_FILES = LICENSES/MIT.txt LICENSES/GPL-2.0-only.txt LICENSES/Linux-syscall-note.txt
LIBSA_INSTALL_STAGING = YES
LIBSA_DEPENDENCIES = host-pkgconf fmt
# Buildroot has no toml++, which reads configuration files and so the names of plugins.
LIBSA_CONF_OPTS = \
	-Dconfiguration=disabled \
	-Dplugins=disabled \
	-Dpython=disabled \
	-Dconformance=disabled \
	-Dexamples=disabled \
	-Dbenchmarks=disabled \
	-Dtests=disabled

ifeq ($(BR2_PACKAGE_LIBDRM),y)
LIBSA_CONF_OPTS += -Ddrm=enabled
LIBSA_DEPENDENCIES += libdrm
else
LIBSA_CONF_OPTS += -Ddrm=disabled
endif

ifeq ($(BR2_PACKAGE_SPDLOG),y)
LIBSA_CONF_OPTS += -Dspdlog=enabled
LIBSA_DEPENDENCIES += spdlog
else
LIBSA_CONF_OPTS += -Dspdlog=disabled
endif

ifeq ($(BR2_PACKAGE_LIBSA_TOOLS),y)
LIBSA_CONF_OPTS += -Dtools=enabled
LIBSA_DEPENDENCIES += cli11 json-for-modern-cpp
else
LIBSA_CONF_OPTS += -Dtools=disabled
endif

ifeq ($(BR2_PACKAGE_LIBSA_GSTREAMER),y)
LIBSA_CONF_OPTS += -Dgstreamer=enabled
LIBSA_DEPENDENCIES += gstreamer1 gst1-plugins-base
else
LIBSA_CONF_OPTS += -Dgstreamer=disabled
endif

ifeq ($(BR2_PACKAGE_LIBSA_MODULES),y)
LIBSA_MODULE_SUBDIRS = kernel
# What the kernel needs for dma-bufs and for carveouts.
define LIBSA_LINUX_CONFIG_FIXUPS
	$(call KCONFIG_ENABLE_OPT,CONFIG_DMABUF_HEAPS)
	$(call KCONFIG_ENABLE_OPT,CONFIG_SRAM)
endef
$(eval $(kernel-module))
endif

$(eval $(meson-package))
