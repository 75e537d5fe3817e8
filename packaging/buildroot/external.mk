# SPDX-License-Identifier: MIT
include $(sort $(wildcard $(BR2_EXTERNAL_LIBSA_PATH)/package/*/*.mk))
